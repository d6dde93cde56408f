"""What the tests of several engines share."""

from __future__ import annotations

import asyncio

import pytest

from tests.reranker.scorers.windows import score_all, windows


@pytest.fixture(scope="session")
def parity_windows():
    """200 windows of about 200 tokens; five in a row share a prefix, which an engine computes once."""
    return windows(200, alike=5, words=12)


@pytest.fixture(scope="session")
def reference(parity_windows):
    """What transformers makes of them, in fp32."""
    from firstrank.reranker.scorers.backends import open_scorer

    scorer, _ = open_scorer("first-smollm2", dtype="float32", threads=1)
    scores = asyncio.run(score_all(scorer, parity_windows, 2))
    scorer.close()
    return scores
