"""Other tools beside ours: how systems are started and compared. RankLLM itself is not here: `benchmarks/peers/README.md`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.peers import ours, requests, side_by_side
from benchmarks.peers.child import Child, Round
from benchmarks.peers.folders import prepared
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.runs.rankllm import read_requests
from tests.benchmarks.conftest import DOCIDS, QUERIES

DEPTH = 12


@pytest.fixture
def asked(collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The requests' file; what ftfy does is done to every text."""
    monkeypatch.setitem(sys.modules, "ftfy", SimpleNamespace(fix_text=lambda text: text.replace("what", "which")))
    file = tmp_path / "requests.jsonl"
    words = ["--collection", collection, "--run", collection / "runs/bm25.trec.gz", "--queries", 3, "--candidates", DEPTH]
    requests.main([str(file), *map(str, words)])
    return file


def test_requests_are_those_of_the_run_with_mended_texts(asked):
    found = [one.request for one in read_requests(asked)]
    assert [one.qid for one in found] == QUERIES[:3]
    assert [passage.docid for passage in found[0].passages] == DOCIDS[:DEPTH]
    assert found[0].query == "which is number q0?"
    assert all("which number" in passage.text for passage in found[0].passages)


def test_a_child_loads_once_and_answers_each_time(tmp_path):
    child = Child("tests.benchmarks.counting", ["7"], tmp_path / "log", {})
    first, second = child.rank(0, 2), child.rank(1, 4)
    child.close()
    assert (first.windows, second.windows) == (7, 8)
    assert (first.prompt_tokens, second.prompt_tokens) == (2, 3)
    assert "what a library prints" in (tmp_path / "log").read_text()


def test_a_child_that_ends_says_where_its_log_is(tmp_path):
    with pytest.raises(RuntimeError, match=str(tmp_path / "log")):
        Child("tests.benchmarks.counting", ["no number"], tmp_path / "log", {})
    assert "ValueError" in (tmp_path / "log").read_text()


def test_folders_say_the_type_of_numbers_and_the_prompt_of_the_peer(tiny_model, tmp_path):
    folders = prepared(str(tiny_model), tmp_path / "weights", 9, 20, 10)
    assert json.loads((folders / "bfloat16/config.json").read_text())["dtype"] == "bfloat16"
    model = load_model(str(folders / "float32"))
    assert (model.spec.window, model.spec.stride, model.spec.read_template().words) == (20, 10, 9)
    assert model.spec.read_template().before.startswith("I will provide you with {n} passages, each indicated by an alphabetical")


class InProcess:
    """Ours in this process, where all has been imported."""

    start = 0.0

    def __init__(self, module: str, words: list[str], log: Path, environment: dict[str, str]) -> None:
        assert module == "benchmarks.peers.ours"
        self._rank = ours.loaded(Path(words[0]), words[1])

    def rank(self, start: int, stop: int) -> Round:
        return self._rank(start, stop)

    def close(self) -> None:
        """Nothing is left."""


@pytest.mark.parametrize("reload", [[], ["--reload"]])
def test_systems_in_turn(reload, asked, collection, tiny_model, monkeypatch, capsys):
    monkeypatch.setattr(side_by_side, "Child", InProcess)
    small = "strategy=tournament:window=3,threads=1"
    words = [asked, "--model", tiny_model, "--rounds", 2, *reload, "--qrels", collection / "qrels/test.tsv"]
    side_by_side.main([*map(str, words), "--system", "dtype=float32,threads=1", "--system", small])
    systems = json.loads(capsys.readouterr().out)["systems"]
    first, second = systems.values()
    assert (first["times_as_fast"], first["tau"], first["windows"]) == (1.0, 1.0, 1.0)
    assert first["nDCG@10"] <= first["nDCG@10 of an oracle"] == second["nDCG@10 of an oracle"]
    assert second["windows"] > 1
    assert second["least_and_most"][0] <= second["times_as_fast"] <= second["least_and_most"][1]
