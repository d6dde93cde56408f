"""A score a place through transformers: at the end of each passage's prompt, which share what is read once; or at the marks of a window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from firstrank.reranker.prompt.pointwise import PointRequest
from firstrank.reranker.scorers.batcher import Batcher
from firstrank.reranker.scorers.point_session import Read
from firstrank.reranker.scorers.transformers.head import LabelHead
from firstrank.reranker.scorers.transformers.reader import Finish, Prompt, Start
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


def points(
    read: Callable[[Sequence[Prompt]], Any], head: LabelHead, ids: tuple[int, ...], value: Callable[[Sequence[float]], float]
) -> Start:
    """Prompts -> the scores of their passages: `value` of the logits of `ids` at the place where each is read."""

    def start(prompts: Sequence[Prompt]) -> Finish:
        logits = fetched(head(read(prompts), ids))

        def finish() -> list[Scores]:
            values = map(value, logits())
            return [Scores(tuple(islice(values, prompt.n))) for prompt in prompts]

        return finish

    return start
