"""The latency bench with a tiny model: who is timed, how often, and what is said of it. Never how fast."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner

from firstrank.eval.bench import workload
from firstrank.eval.bench.latency import COMPARISONS, FIRST, FREE, GENERATION, Plan, _pass, measure, ratios
from firstrank.eval.bench.latency_report import markdown, write
from firstrank.eval.bench.latency_study import Workload
from firstrank.reranker.cli import app
from firstrank.reranker.errors import InputError, ScorerError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.setup import Setup
from tests.reranker.fakes import FakeScorer, one_window, request


def plan_of(model, **changes):
    requests = workload.of_docstrings(3, 4)
    fields = {
        "setup": Setup.of(str(model), threads=1),
        "requests": requests[:2],
        "warmup": requests[2:],
        "concurrencies": [1, 2],
        "repeats": 2,
    }
    return Plan(**(fields | changes))


@pytest.fixture(scope="module")
def measured(tiny_model):
    return measure(plan_of(tiny_model), COMPARISONS["permutation"])


def test_each_contestant_ranks_every_query_in_every_pass(measured):
    first, generation, free = measured
    assert [one.contestant for one in measured] == [FIRST, GENERATION, FREE]
    for one in (first, generation):
        assert [(timing.concurrency, timing.latency.queries, len(timing.medians)) for timing in one.timings] == [(1, 4, 2), (2, 4, 2)]
    assert [(timing.concurrency, timing.latency.queries) for timing in free.timings] == [(1, 2)]


def test_a_window_is_one_prefill_and_generation_a_whole_ordering(measured):
    first, generation, _ = (one.timings[0] for one in measured)
    assert first.latency.windows == generation.latency.windows == 1
    assert first.latency.prompt_tokens == generation.latency.prompt_tokens > 100
    assert first.latency.generated_tokens == 0
    assert generation.latency.generated_tokens >= 2 * 4 - 1
    assert first.responses is None


def test_held_to_the_language_every_answer_is_well_formed_and_freely_a_random_model_has_none(measured):
    _, generation, free = (one.timings[0].responses for one in measured)
    assert generation.well_formed == 1
    assert free.well_formed == 0
    assert free.missing > 0


def test_the_ratio_is_of_the_same_concurrency(measured):
    first, generation, _ = measured
    for found, mine, other in zip(ratios(first, generation), first.timings, generation.timings, strict=True):
        assert found.concurrency == mine.concurrency == other.concurrency
        assert found.median == mine.latency.p50 / other.latency.p50
        assert found.throughput == mine.queries_per_second / other.queries_per_second


def test_warm_up_is_counted_apart(measured):
    assert all(one.warmup_seconds > 0 and one.facts["warm-up, not counted"].startswith("queries: 1,") for one in measured)


@pytest.mark.parametrize(("concurrency", "resets"), [(1, 1 + 3), (2, 1)])
def test_the_cache_is_emptied_before_each_query_where_they_run_one_by_one(concurrency, resets):
    counted = []

    async def reset():
        counted.append(1)

    async def run():
        executor = Executor(FakeScorer())
        return await _pass(executor, one_window, [request(3, str(i)) for i in range(3)], concurrency, reset)

    assert len(asyncio.run(run()).traces) == 3
    assert len(counted) == resets


def test_a_query_that_fails_ends_the_pass_with_its_own_error():
    def fail(qid, texts):
        raise ScorerError(f"query {qid} is at fault")

    async def run():
        await _pass(Executor(FakeScorer(hook=fail)), one_window, [request(3, "q7")], 2)

    with pytest.raises(ScorerError, match="q7 is at fault"):
        asyncio.run(run())


def test_the_report_holds_what_was_measured(measured, tmp_path):
    write(tmp_path, measured, {"model": "tiny", "backend": "transformers", "requests": "2 queries", "date": "today"})
    found = json.loads((tmp_path / "latency.json").read_text())
    assert [(one["contestant"], one["concurrency"]) for one in found["timings"]] == [
        ("FIRST", 1),
        ("FIRST", 2),
        ("generation", 1),
        ("generation", 2),
        ("generation, unconstrained", 1),
    ]
    assert [one["concurrency"] for one in found["first_over_generation"]] == [1, 2]
    page = (tmp_path / "latency.html").read_text()
    assert "FIRST against generation" in page
    assert "://" not in page
    assert markdown(measured) == (tmp_path / "latency.md").read_text()


def test_the_command_line(tiny_model, tmp_path):
    given = ["bench", "latency", "--model", str(tiny_model), "--threads", "1", "--depth", "3", "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*given, "--queries", "1", "--warmup", "0", "--repeats", "1", "--json"])
    found = json.loads(done.stdout)
    assert done.exit_code == 0
    assert [timing["contestant"] for timing in found["timings"]] == ["as the model is"]
    assert found["first_over_generation"] == []
    assert (found["facts"]["threads"], found["facts"]["window"]) == ("1", "the model's, 20")


WRONG = {
    "no queries": ({"queries": 0}, "--queries 0"),
    "a dataset without its run": ({"dataset": "somewhere"}, "give both"),
    "no candidates": ({"depth": 0}, "--depth 0"),
    "more queries than there are": ({"queries": 10_000}, "lower --queries"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_workload_is_named(case):
    changes, message = WRONG[case]
    fields = {"dataset": None, "split": None, "run": None, "depth": 5, "queries": 1, "warmup": 1} | changes
    with pytest.raises(InputError, match=message):
        Workload(**fields).requests()


def test_a_server_is_not_asked_to_generate(tmp_path):
    given = ["bench", "latency", "--backend", "openai", "--base-url", "http://127.0.0.1:9", "--compare", "permutation"]
    done = CliRunner().invoke(app, [*given, "--output", str(tmp_path)])
    assert isinstance(done.exception, InputError)
    assert "reads logits only" in str(done.exception)


@pytest.mark.parametrize(("backend", "why"), [("transformers", "a whole prefill"), ("openai", "the server's own setting")])
def test_a_prefix_cache_is_not_promised_where_there_is_none(tiny_model, backend, why):
    plan = plan_of(tiny_model, prefix_cache="off", setup=Setup.of(str(tiny_model), backend=backend))
    with pytest.raises(InputError, match=why):
        measure(plan, COMPARISONS[None])


def test_the_standard_library_gives_the_same_workload_each_time():
    once, again = workload.of_docstrings(6, 20), workload.of_docstrings(6, 20)
    assert once == again
    assert len({one.query for one in once}) > 1
    for one in once:
        assert len({passage.docid for passage in one.passages}) == 20
        assert any(passage.text.startswith(one.query) for passage in one.passages)


def test_more_candidates_than_there_are_docstrings():
    with pytest.raises(InputError, match="--depth 100000"):
        workload.of_docstrings(1, 100_000)


def test_a_runs_head_with_its_texts(data):
    folder = data / "msmarco-v1-dl19"
    requests = workload.of_run(str(folder), None, folder / "runs/bm25.trec.gz", 2, 7)
    assert [len(request.passages) for request in requests] == [7, 7]
    assert all(passage.text for request in requests for passage in request.passages)
