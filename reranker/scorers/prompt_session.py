"""The session of scorers that take a prompt as token ids and keep nothing of a request: an engine, servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from firstrank.reranker.errors import InputError
from firstrank.reranker.prompt.prompter import EncodedRequest
from firstrank.reranker.types import Scores


class PromptScorer(Protocol):
    """Scores a window by its prompt alone."""

    async def score(self, prompt: Sequence[int], n: int) -> Scores:
        """The scores of one prompt that shows n passages; cancelling it ends the window wherever it is being scored."""
        ...


class PromptSession:
    """One request's prompts. Raises InputError for a window of more candidates than labels and context allow."""

    def __init__(self, scorer: PromptScorer, encoded: EncodedRequest) -> None:
        self._scorer, self._encoded = scorer, encoded
        self.lengths = encoded.lengths
        self.max_window = encoded.max_window
        self.room = encoded.room
        self.reading = encoded.reading

    async def score(self, indices: tuple[int, ...]) -> Scores:
        if len(indices) > self.max_window:
            raise InputError(f"a window of {len(indices)} candidates is too long: the model's labels and context allow {self.max_window}")
        return await self._scorer.score(self._encoded.prompt(indices), len(indices))

    def close(self) -> None:
        """Nothing outlives a session: a window whose caller was cancelled has been aborted, or hung up on."""
