"""What an installation without torch can do: `pip install -r constraints/client.txt && pip install --no-deps .` (docs/installing.md).

`make test-light` runs this file in such an environment; elsewhere what it lacks is hidden from the commands.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import make_tiny_tokenizer

HEAVY = ("torch", "accelerate", "peft", "gguf", "fastapi", "starlette", "fastapi_offline", "uvicorn", "uvloop", "prometheus_client")

HIDING = """
from importlib.machinery import PathFinder
plain = PathFinder.find_spec
PathFinder.find_spec = lambda name, path=None, target=None: None if name in HIDDEN else plain(name, path, target)
"""


@pytest.fixture
def firstrank(tmp_path):
    """Runs a command where these packages are not; gives its exit code and what it said."""
    (tmp_path / "hidden").mkdir()

    def run(*words: object, hidden: tuple[str, ...] = (*HEAVY, "transformers")) -> tuple[int, str]:
        (tmp_path / "hidden/sitecustomize.py").write_text(f"HIDDEN = {hidden}\n{HIDING}")
        path = os.pathsep.join([str(tmp_path / "hidden"), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"PYTHONPATH": path, "FIRSTRANK_CACHE": str(tmp_path / "cache"), "COLUMNS": "200"}
        command = [sys.executable, "-m", "firstrank", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def files(tmp_path):
    """A BEIR folder, and its queries and corpus by name."""
    (tmp_path / "beir/qrels").mkdir(parents=True)
    texts = {"d1": "Jane Austen wrote Emma", "d2": "Emma is a name", "d3": "Bees make honey"}
    (tmp_path / "beir/corpus.jsonl").write_text("".join(json.dumps({"_id": name, "text": text}) + "\n" for name, text in texts.items()))
    (tmp_path / "beir/queries.jsonl").write_text('{"_id": "q1", "text": "who wrote Emma?"}\n{"_id": "q2", "text": "do bees make honey?"}\n')
    (tmp_path / "beir/qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td3\t1\n")
    return ["--queries", "beir", "--corpus", "beir"]


def test_retrieve_rerank_by_judgments_and_evaluate(firstrank, files, tmp_path):
    code, said = firstrank("retrieve", *files, "--output", "bm25.trec", "--qrels", "beir")
    assert (code, "nDCG@10" in said) == (0, True), said
    oracle = ["--backend", "oracle", "--qrels", "beir"]
    assert firstrank("rerank", "--run", "bm25.trec", *files, *oracle, "--output", "oracle.trec")[0] == 0
    code, said = firstrank("eval", "--dataset", "beir", "--run", "bm25.trec", "--run", "oracle.trec", "--output", "report")
    assert (code, "| b oracle | 1.0000 |" in said) == (0, True), said
    assert (tmp_path / "report/report.html").is_file()


@pytest.mark.parametrize(
    ("words", "lacking"),
    [
        ("rerank --run RUN FILES --output o.trec --model MODEL", "transformers"),
        ("retrieve FILES --output o.trec --retriever sparse:splade-tiny", "torch"),
        ("serve --port 0", "starlette"),
    ],
)
def test_what_needs_more_says_so(firstrank, files, tmp_path, words, lacking):
    (tmp_path / "run.trec").write_text("q1 Q0 d1 1 2 x\nq1 Q0 d2 2 1 x\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    places = {"RUN": ["run.trec"], "FILES": files, "MODEL": ["./model"]}
    code, said = firstrank(*(word for one in words.split() for word in places.get(one, [one])))
    assert (code, "Traceback" in said, (tmp_path / "o.trec").exists()) == (2, False, False), said
    assert f"error: this needs the package '{lacking}', which is not installed: pip install firstrank" in said


class Server(BaseHTTPRequestHandler):
    """Answers as `vllm serve` does: the label that comes first in the vocabulary is the likeliest."""

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer({"data": [{"id": "served", "max_model_len": 4096}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = {f"token_id:{index}": -float(index) for index in asked["logprob_token_ids"]} | {"token_id:0": -0.5}
        self._answer({"choices": [{"text": "", "logprobs": {"top_logprobs": [found]}}], "usage": {"completion_tokens": 1}})

    def _answer(self, found: dict[str, object]) -> None:
        data = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def test_a_server_elsewhere_ranks(firstrank, files, tmp_path):
    (tmp_path / "run.trec").write_text("q1 Q0 d2 1 2 x\nq1 Q0 d1 2 1 x\n")
    (tmp_path / "model").mkdir()
    make_tiny_tokenizer(tmp_path / "model")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        backend = ["--backend", "openai", "--base-url", f"http://127.0.0.1:{server.server_port}", "--model", "./model"]
        code, said = firstrank("rerank", "--run", "run.trec", *files, *backend, "--output", "o.trec", hidden=HEAVY)
    finally:
        server.shutdown()
        server.server_close()
    assert code == 0, said
    assert [line.split()[2] for line in (tmp_path / "o.trec").read_text().splitlines()] == ["d2", "d1"]
