"""Passages read one a prompt through transformers: what a request's prompts share is read once, and the score at each last position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from firstrank.reranker.prompt.pointwise import PointPrompter, PointRequest
from firstrank.reranker.scorers.batcher import Batcher
from firstrank.reranker.scorers.point_session import Read
from firstrank.reranker.scorers.transformers.head import LabelHead
from firstrank.reranker.scorers.transformers.packed import Prefix
from firstrank.reranker.scorers.transformers.reader import Prompt, Reader
from firstrank.reranker.types import Scores


def reading_by(batcher: Batcher[Any, Scores], encoded: PointRequest) -> Read:
    """A request's passages as one item of a batcher."""
    prefix = Prefix(encoded.header)

    async def read(encoded: PointRequest, indices: tuple[int, ...]) -> Scores:
        prompt = Prompt(prefix, tuple(encoded.suffixes[i] for i in indices), len(indices))
        return await batcher.score(prompt, prompt.tokens, encoded)

    return read


def points(read: Reader, head: LabelHead, prompter: PointPrompter) -> Callable[[Sequence[Prompt]], list[Scores]]:
    """Prompts -> the scores of their passages."""

    def score(prompts: Sequence[Prompt]) -> list[Scores]:
        values = iter([prompter.value(head(row, prompter.ids).tolist()) for row in read(prompts)])
        return [Scores(tuple(next(values) for _ in prompt.segments)) for prompt in prompts]

    return score
