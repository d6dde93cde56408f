"""500 generated command lines, of options and files valid and not: each ends with 0, 1 or 2 and a sentence, never with a traceback."""

from __future__ import annotations

import gzip
import json
import random
import sys
from pathlib import Path

import pytest

from firstrank.reranker.cli import main
from tests.conftest import make_tiny_tokenizer

COUNT, BLOCKS = 500, 10

NUMBERS = ["0", "1", "2", "3", "-1", "5", "20", "100", "1e9", "nan", "2.5", "x", ""]
STRATEGIES = [
    "sliding",
    "full",
    "topdown",
    "topdown:k=2",
    "tournament",
    "blitz",
    "consistent:shuffles=2",
    "slidng",
    "sliding:window=",
    "sliding:window=4,stride=9",
    ":",
]
SCHEDULE = {
    "--strategy": STRATEGIES,
    "--window": [*NUMBERS, "auto", "4"],
    "--stride": NUMBERS,
    "--passes": NUMBERS,
    "--top-k": NUMBERS,
    "--seed": NUMBERS,
}
MODEL = {
    "--backend": ["oracle", "oracle", "oracle", "openai", "nonesuch"],
    "--model": ["default", "no-such", "TINY", "org/none"],
    "--dtype": ["float32", "x"],
    "--threads": ["1", "0", "-3"],
    "--lanes": NUMBERS,
    "--noise": NUMBERS,
    "--prior": ["first-stage", "none", "dense:", "x"],
    "--prior-depth": NUMBERS,
    "--fuse": NUMBERS,
    "--cascade": ["TINY", "none"],
    "--defer-budget": NUMBERS,
    "--defer-rule": ["margin", "nonsense"],
    "--revision": ["v1"],
    "--base-url": ["http://127.0.0.1:9"],
    "--engine-arg": ["a=1", "a", "=", "max_model_len=[", "max_model_len=64"],
    "--workers-on": ["local", "x"],
    "--workers": NUMBERS,
}
INPUTS = {"--run": "FILE", "--queries": "FILE", "--corpus": "FILE", "--qrels": "FILE"}
COMMANDS: dict[str, tuple[list[str], dict[str, object]]] = {
    "rerank": (
        [
            "--run",
            "run.trec",
            "--queries",
            "queries.tsv",
            "--corpus",
            "corpus.jsonl",
            "--output",
            "OUT",
            "--backend",
            "oracle",
            "--qrels",
            "qrels.txt",
        ],
        INPUTS
        | MODEL
        | SCHEDULE
        | {
            "--requests": "FILE",
            "--output": "TARGET",
            "--trace": "TARGET",
            "--depth": NUMBERS,
            "--limit": NUMBERS,
            "--drop-self": None,
            "--no-tail": None,
            "--json": None,
            "--on-error": ["fail", "skip", "keep", "x"],
            "--missing": ["fail", "skip"],
            "--encoder": ["x"],
            "--vectors": "FILE",
            "--tag": ["mine", "two words", ""],
        },
    ),
    "retrieve": (
        ["--queries", "queries.tsv", "--corpus", "corpus.jsonl", "--output", "OUT"],
        INPUTS
        | {
            "--output": "TARGET",
            "--depth": NUMBERS,
            "--limit": NUMBERS,
            "--drop-self": None,
            "--json": None,
            "--retriever": ["bm25", "bm25:x", "rm3", "dense", "dense:", "nonesuch", "pyserini:"],
            "--save-vectors": "TARGET",
            "--tag": ["a", "a b"],
        },
    ),
    "feedback": (
        ["--run", "run.trec", "--vectors", "vectors", "--output", "OUT"],
        INPUTS
        | {
            "--vectors": "FILE",
            "--output": "TARGET",
            "--save-queries": "TARGET",
            "--depth": NUMBERS,
            "--candidates": NUMBERS,
            "--objective": ["kl", "ranknet", "ridge", "rocchio", "x"],
            "--steps": NUMBERS,
            "--rate": NUMBERS,
            "--json": None,
        },
    ),
    "eval": (
        ["--qrels", "qrels.txt", "--run", "run.trec", "--output", "OUTDIR"],
        INPUTS
        | SCHEDULE
        | {
            "--dataset": "FILE",
            "--split": ["test", "dev"],
            "--run": "FILE",
            "--limit": NUMBERS,
            "--depth": NUMBERS,
            "--measure": ["nDCG@10", "AP", "MAP", "nonesuch", "nDCG@0", "P(rel=2)@3", "RR@-1"],
            "--baseline": ["run", "other", ""],
            "--correction": ["holm", "bonferroni", "bh", "none", "x"],
            "--relevant-from": NUMBERS,
            "--provenance": None,
            "--no-texts": None,
            "--json": None,
            "--drop-self": None,
            "--rerank": ["no-such"],
            "--trace": ["run=trace.jsonl", "run", "x=y", "run=run.trec"],
        },
    ),
    "bench strategies": (
        [
            "--run",
            "run.trec",
            "--queries",
            "queries.tsv",
            "--corpus",
            "corpus.jsonl",
            "--qrels",
            "qrels.txt",
            "--output",
            "OUTDIR",
            "--seeds",
            "1",
        ],
        INPUTS
        | {
            "--strategy": STRATEGIES,
            "--noise": NUMBERS,
            "--seeds": ["0", "1", "-1"],
            "--depth": NUMBERS,
            "--threads": ["1"],
            "--json": None,
        },
    ),
    "data build qrels": (
        ["--run", "run.trec", "--qrels", "qrels.txt", "--queries", "queries.tsv", "--corpus", "corpus.jsonl", "--output", "OUT"],
        INPUTS
        | {
            "--size": NUMBERS,
            "--positives": NUMBERS,
            "--bands": ["1-20", "20-1", "x", ""],
            "--windows": NUMBERS,
            "--shuffled": None,
            "--seed": NUMBERS,
        },
    ),
    "data check": ([], {"FILE": "FILE", "--json": None}),
    "models info": ([], {"FILE": "FILE", "--json": None}),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model's folder without weights: no line here gets as far as to read them, and nothing imports torch."""
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_tokenizer(folder)
    return folder


@pytest.fixture
def files(batch, tiny, monkeypatch):
    """Names of valid and mutated files, the batch's folder being the working one."""
    folder = batch.folder
    monkeypatch.chdir(folder)
    draw = random.Random(0)
    (folder / "beir/qrels").mkdir(parents=True)
    (folder / "beir/corpus.jsonl").write_bytes(batch.file("corpus.jsonl").read_bytes())
    (folder / "beir/queries.jsonl").write_text('{"_id": "q1", "text": "what"}\n')
    (folder / "beir/qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tq1d1\t1\n")
    (folder / "vectors").mkdir()
    names = ["run.trec", "queries.tsv", "corpus.jsonl", "qrels.txt"]
    for name in list(names):
        data = batch.file(name).read_bytes()
        mutated = bytearray(data)
        for _ in range(3):
            mutated[draw.randrange(len(mutated))] = draw.choice(b'\x00\xff\t\n {}"a0')
        made = {
            f"cut-{name}": data[: len(data) * 2 // 3],
            f"mutated-{name}": bytes(mutated),
            f"bom-{name}": b"\xef\xbb\xbf" + data,
            f"crlf-{name}": data.replace(b"\n", b"\r\n"),
            f"twice-{name}": data + data,
            f"{name}.gz": gzip.compress(data),
            f"cut-{name}.gz": gzip.compress(data)[:-9],
        }
        for other, content in made.items():
            (folder / other).write_bytes(content)
            names.append(other)
    (folder / "empty").write_bytes(b"")
    (folder / "binary").write_bytes(bytes(range(256)))
    (folder / "trace.jsonl").write_text(
        json.dumps({"qid": "q1", "windows": [], "rounds": 1, "prompt_tokens": 1, "generated_tokens": 0, "seconds": 1}) + "\n"
    )
    return [
        *names,
        "empty",
        "binary",
        "beir",
        "vectors",
        ".",
        "not-there",
        "ir_datasets:",
        "ir_datasets:no/such",
        "lucene:x",
        str(tiny),
    ]


def words(draw: random.Random, command: str, files: list[str], tiny: Path, number: int) -> list[str]:
    """A command line: the command's usual one, with some options changed or added."""
    base, options = COMMANDS[command]
    given = dict(zip(base[::2], base[1::2], strict=True))
    extra: list[str] = []
    for option in draw.sample(list(options), min(len(options), draw.choice([0, 1, 1, 2, 2, 3, 4]) + (not base))):
        values = options[option]
        value = (
            draw.choice(files)
            if values == "FILE"
            else draw.choice(["OUT", "/dev/null", "no/folder/x", ".", "INPUT", "INPUT"])
            if values == "TARGET"
            else values
        )
        if option == "FILE":
            extra.append(str(value))
        elif values is None:
            extra.append(option)
        elif draw.random() < 0.1 and option in given and option != "--backend":  # without it the default model would rank
            del given[option]
        else:
            given[option] = draw.choice(values) if isinstance(values, list) else str(value)
    read = draw.choice([value for name, value in given.items() if name in INPUTS] or ["run.trec"])
    places = {"OUT": f"out-{number}", "OUTDIR": f"out-{number}", "TINY": str(tiny), "INPUT": read}
    return [*command.split(), *extra, *(f"{name}={places.get(value, value)}" for name, value in given.items())]


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_command_line_ends_in_a_traceback(block, files, tiny, monkeypatch, capfd):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("firstrank.eval.report.files.write_plots", lambda *_: None)
    monkeypatch.setattr("firstrank.eval.significance.RESAMPLES", 99)
    before = {name: Path(name).read_bytes() for name in files if Path(name).is_file()}
    for number in range(block, COUNT, BLOCKS):
        draw = random.Random(number)
        line = words(draw, draw.choices(list(COMMANDS), [8, 3, 2, 5, 1, 2, 1, 1])[0], files, tiny, number)
        monkeypatch.setattr(sys, "argv", ["firstrank", *line])
        try:
            main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException as error:
            raise AssertionError(f"{' '.join(line)}: {type(error).__name__}: {error}") from error
        said = capfd.readouterr().err
        assert code in (0, 1, 2), line
        assert "Traceback" not in said, line
        assert code == 0 or "rror" in said, line
    for name, content in before.items():
        assert Path(name).read_bytes() == content, f"{name} was written"
