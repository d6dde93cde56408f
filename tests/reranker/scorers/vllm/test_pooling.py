"""vLLM in process, in the mode that keeps the head's label rows only: no sampler, no token."""

from __future__ import annotations

import asyncio

import pytest

from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.types import Passage, Request
from tests.reranker.scorers.windows import assert_agree, score_all

pytestmark = pytest.mark.vllm


def test_the_pooler_gives_the_label_logits_of_transformers(parity_windows, reference):
    with asyncio.Runner() as loop:
        scorer, _ = open_scorer("first-smollm2", "vllm", engine={"mode": "pooling", "max_model_len": 4096})
        try:
            found = loop.run(score_all(scorer, parity_windows, 8))
            assert_agree(found, reference)
            assert {one.generated_tokens for one in found} == {0}
            assert (
                max(abs(a - b) for one, other in zip(found, reference, strict=True) for a, b in zip(one.values, other.values, strict=True))
                < 1e-2
            )
            hundred = Request("bees?", tuple(Passage(str(i), f"bees, part {i}") for i in range(100)))
            [scores] = loop.run(score_all(scorer, [hundred], 1))
            assert len(scores.values) == 100
        finally:
            scorer.close()
