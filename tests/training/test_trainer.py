"""The trainer: what a killed run resumes to, what stops it, what it leaves behind."""

from __future__ import annotations

import json

import pytest
import torch
import yaml
from typer.testing import CliRunner

from firstrank.reranker.cli import app
from firstrank.reranker.errors import InputError
from firstrank.reranker.models import loaded
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.prompt.prompter import Prompter
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.runs.trec import read_run
from firstrank.reranker.types import Ranking
from firstrank.training import trainer
from firstrank.training.dev import DevSet
from firstrank.training.log import LOG, read_log
from firstrank.training.output import last_checkpoint
from firstrank.training.run import open_model, train
from firstrank.training.trainer import Diverged, Shares
from tests.training.conftest import as_collection, write_rule
from tests.training.interrupted import Killed, curve, kill_at


def seen(monkeypatch) -> list[str]:
    """The queries that reach the loss, in order."""
    found: list[str] = []
    usual = trainer.TotalLoss.__call__

    def call(self, seen, batch, progress):
        found.extend(batch.qids)
        return usual(self, seen, batch, progress)

    monkeypatch.setattr(trainer.TotalLoss, "__call__", call)
    return found


def test_a_run_killed_at_any_step_resumes_to_the_same_losses(recipe, tmp_path, monkeypatch):
    whole = recipe(output=str(tmp_path / "whole"))
    queries = seen(monkeypatch)
    train(whole)
    uninterrupted = list(queries)
    expected = curve(whole)
    assert len(expected) == 6
    for step in (1, 3, 4):
        config = recipe(output=str(tmp_path / f"killed-{step}"))
        queries.clear()
        with monkeypatch.context() as patched:
            kill_at(patched, step)
            with pytest.raises(Killed):
                train(config)
        saved = step // 2 * 2
        before = queries[: saved * 4]
        queries.clear()
        train(config)
        assert before + queries == uninterrupted
        for mine, theirs in zip(curve(config), expected, strict=True):
            assert mine == pytest.approx(theirs, abs=1e-6)


def test_workers_change_nothing(recipe, tmp_path):
    alone, helped = recipe(output=str(tmp_path / "alone"), steps=3), recipe(output=str(tmp_path / "helped"), steps=3)
    helped = helped.model_copy(update={"batch": helped.batch.model_copy(update={"workers": 2})})
    train(alone)
    train(helped)
    assert curve(alone) == curve(helped)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_sample_of_a_run_is_taken_once(processes):
    shares = [Shares(4, 2, processes, process) for process in range(processes)]
    taken = [sample for share in shares for batch in share for sample in batch]
    assert sorted(taken) == list(range(4 * 2 * processes))
    shares[0].start = 3
    assert list(shares[0]) == [[3 * 2 * processes, 3 * 2 * processes + 1]]
    assert len(shares[0]) == 4


def test_a_nan_stops_the_run_and_keeps_the_last_good_checkpoint(recipe, monkeypatch):
    config, usual = recipe(), trainer.TotalLoss.__call__
    calls = iter(range(100))

    def call(self, seen, batch, progress):
        terms = usual(self, seen, batch, progress)
        return terms._replace(total=terms.total * float("nan"), rank=terms.rank * float("nan")) if next(calls) == 6 else terms

    monkeypatch.setattr(trainer.TotalLoss, "__call__", call)
    with pytest.raises(Diverged, match=r"step 4: the rank loss of query 'q\d+' is nan: .* the last good checkpoint is .*checkpoint-2;"):
        train(config)
    monkeypatch.undo()
    assert train(config) == config.output / "model"
    assert all(torch.isfinite(torch.tensor(values)).all() for values in curve(config))


def test_a_gradient_that_is_not_finite_stops_the_run(recipe, monkeypatch):
    usual = trainer.TotalLoss.__call__

    def call(self, seen, batch, progress):
        terms = usual(self, seen, batch, progress)
        return terms._replace(total=terms.total + (seen.scores * 0.0).sqrt().sum())  # 0, but with an infinite slope

    monkeypatch.setattr(trainer.TotalLoss, "__call__", call)
    with pytest.raises(Diverged, match=r"step 1: the gradient of .*lora.* is not finite: training stops, and no checkpoint had been saved"):
        train(recipe())


def test_a_checkpoint_that_was_cut_short_is_not_used(tmp_path):
    for step, whole in ((2, True), (10, True), (12, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if whole:
            (folder / "trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


def test_a_stage_ends_with_a_checkpoint_and_the_next_goes_on(recipe):
    config = recipe()
    assert train(config, minutes=0) is None
    assert last_checkpoint(config.output / "checkpoints").endswith("checkpoint-1")
    kept = config.output / "config.yaml"
    older = yaml.safe_load(kept.read_text())
    del older["loss"]["probe"]["distill"]
    kept.write_text(yaml.safe_dump(older))  # of a version that did not know the key
    assert train(config) == config.output / "model"
    assert [entry["step"] for entry in read_log(config.output / "log.jsonl")] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(InputError, match="this run is finished"):
        train(config)
    with pytest.raises(InputError, match=r"another recipe \(seed differ"):
        train(config.model_copy(update={"seed": 8}))


def test_a_recipe_says_what_is_shown_of_long_passages_in_training_and_after(recipe):
    config = recipe(steps=1, serve={"excerpt": "query", "passage_tokens": 7})
    assert load_model(config.model).prompter.template.excerpt == "start"
    for template in (open_model(config).prompter.template, load_model(str(train(config))).prompter.template):
        assert (template.excerpt, template.tokens) == ("query", 7)


def test_the_dev_score_is_of_what_rerank_does_with_the_exported_model(recipe, tmp_path, monkeypatch):
    """Strategy, window, passes and cut: a run that scored with `sliding` chose its best weights by another measure."""
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path / "cache"))
    dev = as_collection(write_rule(tmp_path / "dev.jsonl", 4, seed=1, passages=9), tmp_path / "dev")
    serve = {"strategy": "topdown:k=3", "window": 4, "passage_tokens": 2}
    config = recipe(steps=1, serve=serve, dev=dev | {"every": 1}, checkpoints={"every": 1}, tuning={"method": "full"})
    scored: list[list[Ranking]] = []
    usual = DevSet.rankings
    monkeypatch.setattr(DevSet, "rankings", lambda *args: scored.append(usual(*args)) or scored[-1])
    folder = train(config)
    traces = [ranking.trace for ranking in scored[-1]]
    assert {trace.strategy for trace in traces} == {"topdown:k=3"}
    assert max(len(window.docids) for trace in traces for window in trace.windows) == 4

    given = [f"--{name}={path}" for name, path in dev.items()]
    output, kept = tmp_path / "out.trec", tmp_path / "trace.jsonl"
    command = ["rerank", f"--model={folder}", *given, f"--output={output}", f"--trace={kept}", "--depth=20", "--threads=1", "--json"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert json.loads(done.stdout)["measures"]["nDCG@10"]["reranked"] == pytest.approx(read_log(config.output / LOG)[-1]["ndcg@10"])
    assert {qid: list(ranked.docids) for qid, ranked in read_run(output).items()} == {
        ranking.qid: [result.docid for result in ranking] for ranking in scored[-1]
    }
    told = [json.loads(line) for line in kept.read_text().splitlines()]
    assert {one["qid"]: (one["strategy"], one["prompt_tokens"], len(one["windows"])) for one in told} == {
        ranking.qid: (ranking.trace.strategy, ranking.trace.prompt_tokens, len(ranking.trace.windows)) for ranking in scored[-1]
    }


def test_a_run_makes_its_prompter_once(recipe, tmp_path, monkeypatch):
    """It takes a second with a large vocabulary; the base model's own was made first, and thrown away."""
    made: list[Prompter] = []

    class Counted(Prompter):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(loaded, "Prompter", Counted)
    dev = as_collection(write_rule(tmp_path / "dev.jsonl", 2, seed=1), tmp_path / "dev")
    train(recipe(steps=1, serve={"window": 4}, dev=dev | {"every": 1}, checkpoints={"every": 1}))
    assert [prompter.window for prompter in made] == [4]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_exported_model_reranks_as_the_trained_one_would(recipe, method):
    config = recipe(steps=2, tuning={"method": method}, serve={"window": 5})
    folder = train(config)
    first = json.loads(config.train[0].read_text().splitlines()[0])
    documents = [passage["text"] for passage in first["passages"]]
    base, exported = load_model(config.model), load_model(str(folder))
    assert exported.spec.window == 5
    assert exported.spec.template_name == "compact"
    assert exported.prompter.label_ids(5) == base.prompter.label_ids(5)
    with Reranker(str(folder), threads=1) as merged, Reranker(config.model, threads=1) as untrained:
        scores = [result.raw_score for result in merged.rank(first["query"], documents)]
        assert scores != [result.raw_score for result in untrained.rank(first["query"], documents)]
    if method == "lora":
        with Reranker(str(config.output / "adapter"), threads=1) as adapter:
            assert [result.raw_score for result in adapter.rank(first["query"], documents)] == pytest.approx(scores, abs=1e-4)
