"""Passages read one a prompt through transformers: what a request's prompts share is read once, and the score at each last position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from firstrank.reranker.prompt.pointwise import PointPrompter, PointRequest
from firstrank.reranker.scorers.batcher import Batcher
from firstrank.reranker.scorers.point_session import Read
from firstrank.reranker.scorers.transformers.head import LabelHead
from firstrank.reranker.scorers.transformers.reader import Finish, Prompt, Reader, Start
from firstrank.reranker.scorers.transformers.segments import Prefix
from firstrank.reranker.scorers.transformers.transfer import fetched
from firstrank.reranker.types import Scores


def reading_by(batcher: Batcher[Any, Scores], encoded: PointRequest, client: str) -> Read:
    """A request's passages as one item of a batcher."""
    prefix = Prefix(encoded.header)

    async def read(encoded: PointRequest, indices: tuple[int, ...]) -> Scores:
        prompt = Prompt(prefix, tuple(encoded.suffixes[i] for i in indices), len(indices))
        return await batcher.score(prompt, prompt.tokens, encoded, client)

    return read


def points(read: Reader, head: LabelHead, prompter: PointPrompter) -> Start:
    """Prompts -> the scores of their passages."""

    def start(prompts: Sequence[Prompt]) -> Finish:
        logits = fetched(head(read(prompts), prompter.ids))

        def finish() -> list[Scores]:
            values = iter([prompter.value(row) for row in logits()])
            return [Scores(tuple(next(values) for _ in prompt.segments)) for prompt in prompts]

        return finish

    return start
