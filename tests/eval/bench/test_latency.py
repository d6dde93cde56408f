"""The latency bench with a tiny model: who is timed, how often, and what is said of it. Never how fast."""

from __future__ import annotations

import json

import pytest

from eval.bench import workload
from eval.bench.latency import COMPARISONS, FIRST, FREE, GENERATION, Plan, measure, ratios
from eval.bench.latency_report import markdown, write
from reranker.errors import InputError
from reranker.schedule import Schedule


def plan_of(model, **changes):
    requests = workload.of_docstrings(3, 4)
    fields = {
        "model": str(model),
        "backend": "transformers",
        "schedule": Schedule(),
        "requests": requests[:2],
        "warmup": requests[2:],
        "concurrencies": [1, 2],
        "repeats": 2,
        "options": {"threads": 1},
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
    assert all(one.warmup_seconds > 0 and one.facts["warm-up"].startswith("1 queries") for one in measured)


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


@pytest.mark.parametrize(("backend", "why"), [("transformers", "a whole prefill"), ("openai", "the server's own setting")])
def test_a_prefix_cache_is_not_promised_where_there_is_none(tiny_model, backend, why):
    with pytest.raises(InputError, match=why):
        measure(plan_of(tiny_model, prefix_cache="off", backend=backend), COMPARISONS[None])


def test_the_standard_library_gives_the_same_workload_each_time():
    once, again = workload.of_docstrings(6, 20), workload.of_docstrings(6, 20)
    assert once == again
    assert len({request.query for request in once}) > 1
    for request in once:
        assert len({passage.docid for passage in request.passages}) == 20
        assert any(passage.text.startswith(request.query) for passage in request.passages)


def test_more_candidates_than_there_are_docstrings():
    with pytest.raises(InputError, match="--depth 100000"):
        workload.of_docstrings(1, 100_000)


def test_a_runs_head_with_its_texts(data):
    folder = data / "msmarco-v1-dl19"
    requests = workload.of_run(str(folder), None, folder / "runs/bm25.trec.gz", 2, 7)
    assert [len(request.passages) for request in requests] == [7, 7]
    assert all(passage.text for request in requests for passage in request.passages)
