"""The latency bench on vLLM's engine: both contestants, one engine after the other, the prefix cache emptied between queries."""

from __future__ import annotations

import pytest

from firstrank.eval.bench import workload
from firstrank.eval.bench.latency import FIRST, GENERATION, Plan, measure
from firstrank.reranker.setup import Setup

pytestmark = pytest.mark.vllm

ENGINE = {"max_model_len": 2048}


def test_first_and_generation_on_the_same_engine():
    requests = workload.of_docstrings(3, 4)
    plan = Plan(Setup.of("first-smollm2", backend="vllm", engine=ENGINE), requests[:2], requests[2:], [1, 2], 1, "reset")
    first, generation = measure(plan, [FIRST, GENERATION])
    for one in (first, generation):
        assert [(timing.concurrency, timing.latency.queries) for timing in one.timings] == [(1, 2), (2, 2)]
        assert (one.facts["device"], one.facts["prefix cache"]) == ("cpu", "on")
    assert first.timings[0].latency.generated_tokens <= 1
    assert generation.timings[0].responses.well_formed == 1
