"""FIRST's baseline: the ordering generated, free or held to exactly one complete ordering; what was repaired is counted."""

from __future__ import annotations

import asyncio

import pytest

from firstrank.reranker.prompt.orderings import Faults
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.scorers.transformers.reader import Prompt
from firstrank.reranker.scorers.transformers.segments import Prefix
from firstrank.reranker.types import Passage, Request

REQUEST = Request(
    "who wrote Emma?", tuple(Passage(str(i), text) for i, text in enumerate(["honey", "Jane Austen", "stars", "whales"])), "q"
)


@pytest.fixture(params=["letters", "numbers"])
def generating(request, tiny_model, tmp_path):
    """The tiny model as one that answers with orderings."""
    for file in tiny_model.iterdir():
        (tmp_path / file.name).symlink_to(file)
    template = {"letters": "compact", "numbers": "permutation"}[request.param]
    (tmp_path / "firstrank.yaml").write_text(f"template: {template}\nanswer: permutation\n")
    return str(tmp_path)


def scored(model, indices=(0, 1, 2, 3), **options):
    scorer, spec = open_scorer(model, device="cpu", **options)
    scores = asyncio.run(scorer.open(REQUEST).score(indices))
    scorer.close()
    return scores, spec


def test_held_to_the_language_it_is_one_complete_ordering(generating):
    scores, spec = scored(generating)
    assert spec.answer == "permutation"
    assert sorted(scores.values) == [1.0, 2.0, 3.0, 4.0]
    assert scores.notes == ()
    assert scores.generated_tokens >= 4 + 3 * 2
    assert scored(generating)[0].values == scores.values


def test_free_answers_are_repaired_and_counted(generating):
    """A network with random weights writes no ordering: all is missing, and the order is the window's."""
    scores, _ = scored(generating, constrained=False)
    [note] = scores.notes
    assert Faults.in_note(note).missing > 0
    assert sorted(scores.values) == [1.0, 2.0, 3.0, 4.0]


def test_lanes_generate_at_once_what_each_generates_alone(generating):
    orders = [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1), (1, 3, 0, 2)]

    async def all_at_once(scorer):
        session = scorer.open(REQUEST)
        return [scores.values for scores in await asyncio.gather(*(session.score(order) for order in orders))]

    scorer, _ = open_scorer(generating, device="cpu", threads=2, lanes=2)
    together = asyncio.run(all_at_once(scorer))
    scorer.close()
    assert together == [scored(generating, order, threads=1)[0].values for order in orders]


@pytest.mark.parametrize("constrained", [True, False])
def test_a_batch_writes_what_each_of_its_windows_writes_alone(generating, constrained):
    """As a GPU has it: windows of several lengths, whose orderings end at different steps."""
    scorer, _ = open_scorer(generating, device="cpu", dtype="float32", constrained=constrained)
    encoded = scorer.open(REQUEST)._encoded
    windows = [Prompt(Prefix(()), (encoded.prompt(indices),), len(indices)) for indices in [(0, 1, 2, 3), (2, 0), (3, 1, 0)]]
    alone = [scores for window in windows for scores in scorer._score_batch([window])]
    together = scorer._score_batch(windows)
    scorer.close()
    assert [one.values for one in together] == [one.values for one in alone]
    if constrained:  # free rows go on to the batch's longest answer
        assert [one.generated_tokens for one in together] == [one.generated_tokens for one in alone]


def test_any_model_can_be_its_own_baseline(tiny_model):
    by_logits, _ = scored(str(tiny_model))
    generated, spec = scored(str(tiny_model), answer="permutation")
    assert (by_logits.generated_tokens, spec.answer) == (0, "permutation")
    assert sorted(generated.values) == [1.0, 2.0, 3.0, 4.0]
