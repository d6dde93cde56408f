"""Every benchmark on tiny input: it runs to its end and prints what it says. Figures that mean something are in `benchmarks/log/`."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from firstrank.reranker.reranker import Reranker
from tests.benchmarks.conftest import DOCIDS, QUERIES

ROOT = Path(__file__).parents[2]
HELPERS = {"__init__", "arguments", "attacks", "guard", "memory", "mutations", "orders"}
BENCHMARKS = sorted({path.stem for path in (ROOT / "benchmarks").glob("*.py")} - HELPERS)
Run = Callable[..., str]


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `python -m benchmarks.NAME WORDS…` in this process, where all has been imported; gives what it prints."""

    def run(name: str, *words: object) -> str:
        assert not import_module(f"benchmarks.{name}").main([str(word) for word in words])
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_help_says_how_to_run_it(name, bench, capsys):
    """vLLM and Ray are not imported for it."""
    with pytest.raises(SystemExit, match="0"):
        bench(name, "--help")
    assert f"    python -m benchmarks.{name}" in capsys.readouterr().out


def test_ceiling(bench, tiny_model):
    found = json.loads(bench("ceiling", "--model", tiny_model, "--tokens", 32, "--windows", 2))
    assert found["share"] <= found["ceiling"]


def test_executor(bench):
    said = bench("executor", "--requests", 3, "--depth", 30)
    assert len(re.findall(r" ratio \d", said)) == 6


def test_what_strategies_cost_in_tokens(bench, collection, tiny_model):
    said = bench("strategies", "tokens", "--data", collection, "--model", tiny_model, "--strategies", "sliding:window=6,stride=3", "full")
    assert re.findall(r"(\S+) +\d+ tokens  (.+)", said)[0] == ("sliding:window=6,stride=3", "1.000")


def test_systems_side_by_side(bench, collection, tiny_model):
    systems = [f"model={tiny_model},dtype={dtype},strategy=sliding:window=6;stride=3" for dtype in ("float32", "bfloat16")]
    words = [word for system in systems for word in ("--system", system)]
    found = json.loads(bench("compare", "--collection", collection, "--run", collection / "runs/bm25.trec.gz", "--rounds", 2, *words))
    exact, coarse = (found["systems"][system] for system in systems)
    assert (exact["ratio"], exact["tau"], exact["p"]) == (1.0, 1.0, 1.0)
    assert coarse["ratios"][0] <= coarse["ratio"] <= coarse["ratios"][1]
    assert -1 <= coarse["tau"] <= 1


def test_how_many_windows_a_prior_saves(bench, collection):
    run = collection / "runs/bm25.trec.gz"
    said = bench(
        "saved", "--collection", collection, "--run", run, "--prior", "first-stage", "--depths", "4", "--noises", "0,1", "--seeds", 2
    )
    found = json.loads(said)
    whole, best = found["noise 0"].values()
    assert best["windows"] == 1 <= whole["windows"]
    assert best["nDCG@10"] <= whole["nDCG@10"]
    assert found["noise 1"].keys() == found["noise 0"].keys()


def test_what_a_prior_gives(bench, collection, tiny_model):
    run = collection / "runs" / "bm25.trec.gz"
    said = bench("prior", "--collection", collection, "--run", run, "--model", tiny_model, "--depth", 6, "--queries", 3, "--threads", 1)
    found = json.loads(said)["nDCG@10"]
    assert {"dense:minilm", "sparse:splade-tiny", "first-stage", "prior", "model", "fuse 1"} <= found.keys()
    assert all(0 <= figures["mean"] <= 1 for figures in found.values())


def test_how_far_an_attack_climbs(bench, collection, tiny_model):
    run = collection / "runs" / "bm25.trec.gz"
    models = ["--point-model", tiny_model, "--list-model", tiny_model, "--threads", 1]
    words = ["--collection", collection, "--run", run, "--queries", 1, "--candidates", 5, *models]
    *_, last, flags = map(json.loads, bench("injection", *words).splitlines())
    assert last["systems"].keys() > {f"{tiny_model}, logits", f"{tiny_model}, written", "dense:minilm", "flagged last"}
    for figures in last["systems"].values():
        assert 1 <= figures["attacked"] <= 5
        assert len(figures["by kind"]) == 8
        assert figures["first"] <= figures["first three"] <= 1
    assert flags["flagged"]["real passages"] == 0


def test_how_cost_grows(bench, tiny_model):
    sizes = ["--queries", 1, 3, "--candidates", 4, 8, "--depth", 4, "--rounds", 1]
    of_queries, of_candidates = map(json.loads, bench("growth", "--model", tiny_model, *sizes).splitlines())
    assert (of_queries["queries"], of_candidates["candidates"]) == ([1, 3], [4, 8])
    assert len(of_queries["resident_MiB"]) == 2


def test_what_is_not_the_model(bench, collection, tiny_model):
    run = collection / "runs/bm25.trec.gz"
    said = bench("overhead", "--collection", collection, "--run", run, "--system", f"model={tiny_model}", "--threads", 1)
    found = json.loads(said)
    assert 0 <= found["not_the_model"] <= 1
    assert found["moments"] > 0
    assert all(re.fullmatch(r"nobody|(reranker|eval|server)/\S+\.py:\S+", place) for place in found["where"])


def test_how_long_strategies_keep_the_loop(bench):
    assert len(bench("strategies", "steps", "--depth", 30).splitlines()) > 6


@pytest.mark.parametrize("model", [False, True])
def test_how_much_order_tells(model, bench, collection, tiny_model):
    strategies = ["--strategies", "full", "consistent:of=full,shuffles=2"]
    scorer = ["--model", tiny_model, "--queries", 2] if model else ["--seeds", 1]
    found = json.loads(bench("strategies", "order", "--data", collection, *scorer, *strategies))
    assert -1 <= found["full"]["tau"] <= 1
    assert "p" in found["consistent:of=full,shuffles=2"]


def test_pictures_are_those_of_the_docs(bench, tmp_path):
    bench("pictures", "--folder", tmp_path)
    for drawn in tmp_path.iterdir():
        assert drawn.read_text() == (ROOT / "docs/strategies" / drawn.name).read_text(), "python -m benchmarks.pictures draws them again"


def test_recall_by_feedback(bench, collection, tmp_path):
    from firstrank.reranker.retrievers.vectors import Vectors

    draw = np.random.default_rng(0)
    for name, ids in (("passages", DOCIDS), ("queries", QUERIES)):
        Vectors(tuple(ids), draw.normal(size=(len(ids), 8)).astype(np.float32)).save(tmp_path, name)
    said = bench("feedback", "recall", f"{collection}={tmp_path}")
    assert {"dense", "kl", "ranknet", "ridge", "rocchio", "bm25", "rm3"} <= set(said.split())


def test_feedback_in_a_batch(bench):
    said = bench("feedback", "batch", "--queries", 3, "--passages", 5, "--dimensions", 4, "--steps", 2)
    assert [float(found) < 1e-5 for found in re.findall(r"at a time (\S+)", said)] == [True] * 3


def test_texts_of_a_large_corpus(bench):
    found = json.loads(bench("files", "texts", "--passages", 200, "--queries", 2))
    assert found["passages_read"] == 200


def test_a_long_journal(bench):
    assert bench("files", "journal", "--queries", 130, "--workers", 2).count("queries a second") == 3


def test_a_loss_on_the_rule(bench):
    said = bench("losses", "rule", "--steps", 1, "--losses", "listnet")
    assert "| `listnet` | 0." in said


def test_how_hard_losses_pull(bench):
    rows = [line.split("|")[1:-1] for line in bench("losses", "pulls", "--lists", 2).splitlines()[2:]]
    found = {name.strip(" `"): [float(pull) for pull in pulls] for name, *pulls in rows}
    assert found["weighted_ranknet"] == [1.0] * 4
    assert found["lambdarank"][0] > 10 * found["lambdarank"][1], "lists of many grades have more to swap"


def test_a_step_of_training(bench, tiny_model):
    said = bench("training", "speed", "--model", tiny_model, "--rounds", 1, "--steps", 1, "--windows", 1, "--ways", "before", "now")
    rows = [line.split("|") for line in said.splitlines()[2:]]
    assert [row[1].strip() for row in rows] == ["before", "now"]
    assert len(rows[0][-2].split()) == 1


def test_training_on_a_device(bench):
    said = bench("training", "device", "--smoke", "--steps", 1)
    assert [line.split("|")[1].strip() for line in said.splitlines()[4:]] == ["tiny", "tiny", "tiny"]


def test_memory_of_the_lm_loss(bench):
    said = bench("losses", "memory", "--tokens", 16, "--vocabulary", 64, "--hidden", 8)
    assert "16 tokens x 64 vocabulary" in said


def test_how_good_a_teacher_is(bench, collection, monkeypatch):
    """The bi-encoder is one that counts letters: MiniLM takes seconds to load."""

    def encode(texts: list[str]) -> np.ndarray:
        counts = np.array([[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    monkeypatch.setattr("benchmarks.teacher.open_encoder", lambda name: encode)
    run = collection / "runs/bm25.trec.gz"
    given = ["--collection", collection, "--qrels", collection / "qrels/test.tsv", "--first", run, "--reranked", run]
    found = json.loads(bench("teacher", "quality", *given))
    assert found["queries"] == len(QUERIES)
    assert found["tau"][f"first / {run}"] == 1.0


def test_how_much_a_run_has_learned(bench, tiny_model, tmp_path):
    from tests.training.conftest import write_rule

    recipe = {
        "model": str(tiny_model),
        "template": "compact",
        "context": 1024,
        "train": str(write_rule(tmp_path / "train.jsonl", 8, seed=5)),
        "output": str(tmp_path),
        "steps": 4,
        "draw": {"window": [3, 5]},
        "loss": {"rank": {"name": "listnet", "weight": 1.0}, "lm": {"weight": 0}},
        "batch": {"windows": 2, "accumulation": 1},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(recipe))
    steps = [{"step": step, "rank": 0.0645, "tokens": 100, "seconds": 0.5 * step} for step in range(1, 5)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(one) + "\n" for one in steps))
    parts = [json.loads(line) for line in bench("teacher", "learned", tmp_path / "config.yaml", "--every", 2).splitlines()]
    assert [part["steps"] for part in parts] == [[1, 2], [3, 4]]
    assert all(part["floor"] < part["chance"] and part["tokens_per_second"] == 200 for part in parts)


class TestService:
    """One service for all questions, where each has its own when it is run to measure."""

    @pytest.fixture(scope="class")
    def server(self, tiny_model: Path) -> Iterator[Any]:
        from tests.server.serving import live

        with live("--model", f"default={tiny_model}", "--threads", "1") as server:
            yield server

    @pytest.fixture(autouse=True)
    def _running(self, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("benchmarks.service.live", lambda *flags, **more: contextlib.nullcontext(server))

    def test_overload(self, bench, tiny_model):
        found = json.loads(bench("service", "overload", "--model", tiny_model, "--seconds", 1, "--calm", 1))
        assert found["alive"]
        assert not found["tracebacks"]

    def test_disconnect(self, bench, tiny_model):
        found = json.loads(bench("service", "disconnect", "--model", tiny_model, "--clients", 8))
        assert set(found["after"].values()) == {0}

    def test_fuzzed_requests(self, bench, tiny_model, server, monkeypatch):
        monkeypatch.setattr("benchmarks.fuzz_api.live", lambda *flags, **more: contextlib.nullcontext(server))
        found = json.loads(bench("fuzz_api", "--model", tiny_model, "--requests", 300, "--described", 0, "--deadline", 120))
        assert found["requests"] == 300
        assert found["statuses"].keys() >= {"200", "400", "422"}
        assert not found["errors_in_log"]

    def test_bytes(self, bench, tiny_model):
        found = json.loads(bench("service", "bytes", "--model", tiny_model, "--requests", 2))
        assert [found[f"different_at_{clients}"] for clients in (2, 8, 32)] == [0, 0, 0]

    def test_mixed(self, bench, tiny_model):
        found = json.loads(bench("service", "mixed", "--model", tiny_model, "--seconds", 1))
        assert found["alive"]
        assert not found["errors_in_the_log"]


@pytest.fixture
def without_vllm(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    """transformers in the engine's place, and short windows: an engine takes half a minute to start."""
    engine = import_module("benchmarks.vllm_engine")
    opened = engine.open_scorer

    async def reset_prefix_cache() -> None:
        pass

    def open_scorer(model: str, backend: str = "transformers", *, answer: str | None = None, **options: Any) -> Any:
        scorer, spec = opened(str(tiny_model) if model == "first-smollm2" else model, dtype="float32", answer=answer)
        scorer.engine = SimpleNamespace(reset_prefix_cache=reset_prefix_cache)
        return scorer, spec

    def reranker(model: str, *, strategy: str, **options: Any) -> Any:
        return real_reranker(str(tiny_model), strategy=strategy)

    real_reranker, loaded, drawn = engine.Reranker, engine.load_model, engine.windows
    monkeypatch.setattr(engine, "open_scorer", open_scorer)
    monkeypatch.setattr(engine, "Reranker", reranker)
    monkeypatch.setattr(engine, "load_model", lambda name: loaded(str(tiny_model)))
    monkeypatch.setattr(engine, "served", lambda folder: contextlib.nullcontext("http://nowhere"))
    monkeypatch.setattr(engine, "windows", lambda count, n=4, seed=0: drawn(2, min(n, 4), seed=seed))


@pytest.mark.usefixtures("without_vllm")
@pytest.mark.parametrize("question", ["modes", "batching", "ordering", "parity", "adapter", "parallel"])
def test_the_questions_to_vllm(question, bench):
    heading, *lines = bench("vllm_engine", question).splitlines()
    assert heading == f"# {question}"
    assert all(json.loads(line) for line in lines)


def test_workers_without_ray(bench, monkeypatch):
    """One worker, in this process."""

    @contextlib.contextmanager
    def here(setup: Any, workers: Any) -> Iterator[Any]:
        with Reranker(setup) as reranker:
            yield reranker.rank_many

    monkeypatch.setattr("benchmarks.ray_workers.ray_engine", here)
    found = json.loads(bench("ray_workers", "--workers", 1, "--queries", 8, "--seconds", 0.01, "--batch", 2))
    assert found["efficiency"] == 1


@pytest.mark.ray
def test_workers_on_ray(bench):
    found = json.loads(bench("ray_workers", "--workers", 1, "--queries", 8, "--seconds", 0.01, "--batch", 2))
    assert found["efficiency"] == 1
