"""The session that engines and servers share: prompts in the window's own order, and no more candidates than may be."""

from __future__ import annotations

import asyncio

import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.scorers.prompt_session import PromptSession
from firstrank.reranker.types import Passage, Request, Scores


class Recorder:
    """Scores nothing, and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    async def score(self, prompt, n):
        self.asked.append((tuple(prompt), n))
        return Scores(tuple(map(float, range(n))))


@pytest.fixture
def encoded(tiny_model):
    passages = tuple(Passage(str(i), f"passage {i} of {'some ' * i}length") for i in range(4))
    return load_model(str(tiny_model)).prompter.encode(Request("who wrote Emma?", passages))


def test_a_window_is_the_prompt_of_its_candidates_in_their_order(encoded):
    scorer = Recorder()
    session = PromptSession(scorer, encoded)
    assert asyncio.run(session.score((2, 0, 3))).values == (0.0, 1.0, 2.0)
    asyncio.run(session.score((0, 2)))
    assert scorer.asked == [(tuple(encoded.prompt((2, 0, 3))), 3), (tuple(encoded.prompt((0, 2))), 2)]
    assert (session.lengths, session.max_window, session.room) == (encoded.lengths, encoded.max_window, encoded.room)


def test_more_candidates_than_may_be_are_refused_before_the_scorer_is_asked(encoded):
    scorer = Recorder()
    session = PromptSession(scorer, encoded)
    with pytest.raises(InputError, match=f"allow {encoded.max_window}"):
        asyncio.run(session.score(tuple(range(encoded.max_window + 1))))
    assert scorer.asked == []
