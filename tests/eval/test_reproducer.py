"""Reproductions: those shipped are sound, and each state is told as it is."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from firstrank.eval import reproducer
from firstrank.eval.attempts import page
from firstrank.eval.reproducer import Reproducer
from firstrank.eval.reproductions import FirstStage, Reproduction, all_reproductions, named, read_reproduction
from firstrank.reranker.cli import app
from firstrank.reranker.errors import InputError
from tests.eval import collection

SHIPPED = all_reproductions()
HERE = ("dl19-bm25", "dl19-tasb", "dl19-spladepp-ed", "dl19-openai-ada2", "dl19-rankvicuna-run", "dl21-bm25", "dl21-bm25-rm3")
HERE += ("cranfield-bm25",)


def test_what_the_field_reports_is_there():
    names = {one.name for one in SHIPPED}
    assert {f"dl{year}-first-mistral" for year in range(19, 24)} <= names
    assert len([name for name in names if name.startswith("beir-") and name.endswith("-first-mistral")]) == 11
    assert len([name for name in names if name.startswith("beir-") and name.endswith("-bm25")]) == 13


@pytest.mark.parametrize("one", SHIPPED, ids=lambda one: one.name)
def test_each_says_what_it_needs_and_who_published_it(one):
    assert one.source
    assert all(0 < value < 1 for value in one.expected.values())
    assert one.gpu == (one.model is not None)


@pytest.mark.parametrize("name", HERE)
def test_what_can_be_run_here_is_reproduced(data, tmp_path, name):
    attempt = Reproducer(data, tmp_path).attempt(read_reproduction(name))
    assert attempt.reproduced, attempt.state


@pytest.fixture
def here(tmp_path):
    folder = collection.make(tmp_path / "small")
    (folder / "runs").mkdir()
    collection.write_run(folder / "runs/first.trec", 1)
    return Reproducer(tmp_path, tmp_path / "out")


def one(**changes):
    fields = {"name": "small", "description": "a small one", "dataset": "small", "source": "nobody", "expected": {"nDCG@10": 0.5}}
    return Reproduction(**(fields | {"first_stage": FirstStage(run="runs/first.trec"), "tolerance": 0.01} | changes))


def test_a_figure_that_is_off_is_told_with_its_sign(here):
    attempt = here.attempt(one(expected={"nDCG@10": 0.01}))
    assert not attempt.reproduced
    assert attempt.state.startswith("off by nDCG@10 +0.")
    assert attempt.to_dict()["state"] == "off"


def test_its_own_figure_is_reproduced(here):
    found = here.attempt(one()).found["nDCG@10"]
    assert here.attempt(one(expected={"nDCG@10": found})).state == "reproduced (nDCG@10 +0.0000)"


CANNOT = {
    "a folder that is not there": ({"dataset": "elsewhere"}, "no folder elsewhere"),
    "a run that is not there": ({"first_stage": FirstStage(run="runs/second.trec")}, "has no runs/second.trec"),
    "a retriever that is not there": ({"first_stage": FirstStage(retriever="bm26")}, "no first stage is called 'bm26'"),
    "a model that is not there": ({"model": "./nothing"}, "no such name, folder or Hugging Face id"),
}


@pytest.mark.parametrize("case", CANNOT)
def test_what_cannot_be_run_says_why(here, case):
    changes, reason = CANNOT[case]
    attempt = here.attempt(one(**changes))
    assert not attempt.found
    assert attempt.state.startswith("cannot run here: ")
    assert reason in attempt.state


def test_without_a_gpu_nothing_is_tried(here, monkeypatch):
    monkeypatch.setattr(reproducer, "_has_gpu", lambda: False)
    assert "no GPU, and org/large is too large for a CPU" in here.attempt(one(model="org/large", gpu=True)).state


def test_the_first_stage_is_retrieved_where_there_is_no_run(here):
    stage = FirstStage(run="runs/none.trec", retriever="bm25")
    assert here.attempt(one(first_stage=stage, expected={"R@100": 0.5})).found


def test_the_page_groups_by_state(here):
    text = page([here.attempt(one(expected={"nDCG@10": 0.01})), here.attempt(one(name="other", dataset="elsewhere"))])
    assert "## Off (1)" in text
    assert "## Cannot run here (1)" in text
    assert "## Reproduced" not in text
    assert "| not measured |" in text


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="--list names them"):
        read_reproduction("dl99-bm25")
    with pytest.raises(InputError, match="give the name"):
        named((), everything=False)


def test_the_command_line_ends_with_1_where_a_figure_is_off(data, tmp_path):
    done = CliRunner().invoke(app, ["reproduce", "dl19-bm25", "--data", str(data), "--page", str(tmp_path / "page.md"), "--json"])
    assert (done.exit_code, json.loads(done.stdout)["dl19-bm25"]["state"]) == (0, "reproduced")
    assert "| dl19-bm25 |" in (tmp_path / "page.md").read_text()
    assert CliRunner().invoke(app, ["reproduce", "dl19-gpt35-run", "--data", str(data)]).exit_code == 1
    assert "dl23-rankvicuna: RankVicuna" in CliRunner().invoke(app, ["reproduce", "--list"]).stdout
