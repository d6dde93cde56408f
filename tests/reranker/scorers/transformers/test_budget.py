"""How many tokens a pass may have, by a GPU's free memory. The GPU's own figures are told to it."""

from __future__ import annotations

import pytest
import torch

from firstrank.reranker.scorers.transformers.budget import tokens_that_fit

GB = 10**9


@pytest.fixture
def memory(monkeypatch):
    """A token takes so many bytes, and so many are free."""

    def of(each, free):
        read = []
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: read.clear())
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 3 * GB)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * GB + each * sum(prompt.tokens for prompt in read))
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free - GB, 80 * GB))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 4 * GB)
        return read.extend

    return of


@pytest.mark.parametrize(
    ("each", "free", "most", "expected"),
    [(10**5, 10 * GB, 32_768, 32_768), (10**6, 10 * GB, 32_768, 8_000), (10**7, 10 * GB, 32_768, 2_048), (10**5, 10 * GB, 100, 100)],
    ids=["enough", "less", "no less than was tried", "what was asked for"],
)
def test_what_was_asked_for_or_what_the_free_memory_holds(each, free, most, expected, memory):
    assert tokens_that_fit(memory(each, free), torch.device("cuda"), most) == expected


def test_elsewhere_nothing_is_tried():
    assert tokens_that_fit(lambda prompts: pytest.fail("was read"), torch.device("cpu"), 2048) == 2048
