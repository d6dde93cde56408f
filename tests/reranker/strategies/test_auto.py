"""`--window auto` over real prompts: windows fill the context, none overflows it, and no passage is cut."""

from __future__ import annotations

import random
import shutil

import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.types import Passage, Request
from tests.reranker.strategies.driver import drive

CONTEXT = 700


@pytest.fixture(scope="module")
def prompter(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("auto") / "tiny"
    shutil.copytree(tiny_model, folder)
    (folder / "firstrank.yaml").write_text(f"context: {CONTEXT}\nwindow: 5\nstride: 2\n")
    return load_model(str(folder)).prompter


def passages(words: list[int]) -> tuple[Passage, ...]:
    return tuple(Passage(f"d{i}", "word " * count) for i, count in enumerate(words))


@pytest.mark.parametrize("name", ["sliding", "topdown", "tournament", "blitz"])
def test_no_window_overflows_and_no_passage_is_cut(prompter, name):
    draw = random.Random(3)
    candidates = passages([draw.choice([2, 5, 12]) for _ in range(60)])
    encoded = prompter.encode(Request("a query", candidates))
    assert list(encoded.lengths) == [prompter.encode(Request("a query", (one,))).lengths[0] for one in candidates]
    view = {"lengths": encoded.lengths, "room": encoded.room, "max_window": encoded.max_window}
    driven = drive(parse_strategy(f"{name}:window=auto"), 60, lambda asked: [draw.random() for _ in asked], **view)
    for window in driven.windows:
        head, tail = encoded.frame(len(window))
        prompt = encoded.prompt(window)
        assert len(prompt) == len(head) + len(tail) + sum(encoded.lengths[i] for i in window)
        assert len(prompt) + prompter.reserve(len(window)) <= CONTEXT
    if name == "sliding":
        fullest = max(driven.windows[:-1], key=lambda window: len(encoded.prompt(window)))
        assert len(encoded.prompt(fullest)) > 0.9 * CONTEXT
        assert len({len(window) for window in driven.windows}) > 1


def test_passages_that_two_of_do_not_fit_are_refused_with_a_way_out(prompter):
    encoded = prompter.encode(Request("a query", passages([400, 400, 3, 3])))
    with pytest.raises(InputError, match="give a window"):
        drive(parse_strategy("sliding:window=auto"), 4, lambda asked: [0.0] * len(asked), lengths=(500, 500, 3, 3), room=encoded.room)
