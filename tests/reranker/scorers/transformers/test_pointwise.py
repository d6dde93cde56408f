"""Models that read a passage at a time: plain transformers' logits, every passage once, whatever the strategy and the company."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from firstrank.reranker.errors import InputError, ModelError
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.types import Passage, Request
from tests.reranker.scorers.families import CARD, FAMILIES, make
from tests.reranker.scorers.windows import docstrings

TEXTS = list(dict.fromkeys(text for _, text in docstrings(30)))[:9]
REQUEST = Request("which sorts a list?", tuple(Passage(str(i), text) for i, text in enumerate(TEXTS)), "q")


@pytest.fixture(scope="module")
def folders(tiny_model, tmp_path_factory):
    """A folder a family, made when it is first asked for."""
    made = {}

    def of(family):
        if family not in made:
            made[family] = make(tmp_path_factory.mktemp(family), tiny_model, family)
        return made[family]

    return of


def carded(folder, tiny_model, card, family="llama"):
    return str(make(folder, tiny_model, family, card))


def scores(name, *windows, request=REQUEST, **options):
    scorer, _ = open_scorer(str(name), device="cpu", threads=1, **options)

    async def asked():
        session = scorer.open(request)
        return [await session.score(window) for window in windows]

    try:
        return asyncio.run(asked())
    finally:
        scorer.close()


def plain(model, prompts, changed=lambda network: network):
    """The last position's logits of plain transformers, a prompt at a time."""
    import torch
    from transformers import AutoModelForCausalLM

    network = changed(AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32).eval())
    with torch.inference_mode():
        return [network(input_ids=torch.tensor([prompt])).logits[0, -1] for prompt in prompts]


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_the_logits_of_plain_transformers(family, folders):
    model = load_model(str(folders(family)))
    encoded = model.pointwise.encode(REQUEST)
    yes, no = model.pointwise.ids
    wanted = [float(logits[yes] - logits[no]) for logits in plain(model, map(encoded.prompt, range(9)))]
    [found] = scores(folders(family), tuple(range(9)))
    assert found.values == pytest.approx(wanted, abs=1e-5)
    assert found.generated_tokens == 0


def test_one_token_alone_is_its_logit(tmp_path, tiny_model):
    folder = carded(tmp_path / "one", tiny_model, CARD.replace(", no: n", ""))
    model = load_model(folder)
    [yes] = model.pointwise.ids
    wanted = [float(logits[yes]) for logits in plain(model, map(model.pointwise.encode(REQUEST).prompt, range(9)))]
    assert scores(folder, tuple(range(9)))[0].values == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen3"])
@pytest.mark.parametrize("norm", ["own", "plain"])
def test_the_first_layers_and_a_plain_norm(family, norm, tmp_path, tiny_model):
    """As if the network ended there: the hidden states after two layers, normed by hand."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = carded(tmp_path / "cut", tiny_model, CARD + f"layers: 2\nnorm: {norm}\n", family)
    model = load_model(folder)
    network = AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32).eval()
    seen = []
    network.model.layers[1].register_forward_hook(lambda *given: seen.append(given[-1]))
    eps = network.config.rms_norm_eps
    wanted = []
    with torch.inference_mode():
        for prompt in map(model.pointwise.encode(REQUEST).prompt, range(9)):
            network(input_ids=torch.tensor([prompt]))
            hidden = seen.pop()
            hidden = (hidden[0] if isinstance(hidden, tuple) else hidden)[..., -1, :].reshape(-1)
            normed = network.model.norm(hidden) if norm == "own" else hidden * torch.rsqrt(hidden.square().mean() + eps)
            logits = network.lm_head(normed)[list(model.pointwise.ids)]
            if cap := getattr(network.config, "final_logit_softcapping", None):
                logits = cap * torch.tanh(logits / cap)
            wanted.append(float(logits[0] - logits[1]))
    assert scores(folder, tuple(range(9)))[0].values == pytest.approx(wanted, abs=1e-5)


def test_more_layers_than_there_are_are_refused(tmp_path, tiny_model):
    folder = carded(tmp_path / "cut", tiny_model, CARD + "layers: 4\n")
    with pytest.raises(ModelError, match="layers: 4 cannot be kept, for the network has 3"):
        scores(folder, (0,))


def test_a_score_does_not_depend_on_its_company_and_nothing_is_read_twice(folders):
    whole, again, alone = scores(folders("llama"), tuple(range(9)), (3, 1), (5,))
    assert whole.prompt_tokens > 0
    assert (again.prompt_tokens, alone.prompt_tokens) == (0, 0)
    assert again.values == (whole.values[3], whole.values[1])
    [apart] = scores(folders("llama"), (5,))
    assert apart.values == pytest.approx(alone.values, abs=1e-5)


@pytest.mark.parametrize(
    "strategy", [None, "sliding:window=4,stride=2", "tournament:window=3", "consistent:of=topdown,window=4,shuffles=2"]
)
def test_every_strategy_ends_in_the_order_of_the_scores_and_reads_each_passage_once(strategy, folders):
    [found] = scores(folders("qwen3"), tuple(range(9)))
    with Reranker(str(folders("qwen3")), device="cpu", threads=1, strategy=strategy) as reranker:
        ranking = next(reranker.rank_many([REQUEST]))
    wanted = [str(i) for i in sorted(range(9), key=lambda i: -found.values[i])]
    assert ranking.trace.prompt_tokens == found.prompt_tokens
    if strategy is None:
        assert ranking.trace.strategy == "pointwise"
        assert (ranking.trace.rounds, ranking.trace.certified) == (1, 9)
        assert [result.docid for result in ranking] == wanted
    assert ranking[0].docid == wanted[0]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("strategy", ["pointwise", "sliding:window=4,stride=2", "topdown:window=4", "full", "consistent:of=full"])
def test_what_is_computed_is_the_header_once_and_each_passage_once(strategy, dtype, folders):
    scorer, _ = open_scorer(str(folders("qwen3")), device="cpu", threads=1, dtype=dtype)
    seen: list[int] = []
    scorer.network.base_model.register_forward_pre_hook(lambda *given: seen.append(given[2]["input_ids"].numel()), with_kwargs=True)
    with Reranker(scorer, strategy=strategy) as reranker:
        next(reranker.rank_many([REQUEST]))
    encoded = scorer._model.pointwise.encode(REQUEST)
    assert sum(seen) == len(encoded.header) + sum(map(len, encoded.suffixes))
    assert len(seen) >= 2


@pytest.mark.parametrize("seed", range(5))
def test_the_order_in_which_candidates_come_does_not_matter(seed, folders):
    scores = [float(9 - place) for place in range(9)]
    pairs = list(zip(REQUEST.passages, scores, strict=True))
    random.Random(seed).shuffle(pairs)
    shuffled = replace(REQUEST, passages=tuple(one for one, _ in pairs), first_stage=tuple(score for _, score in pairs))
    with Reranker(str(folders("qwen3")), device="cpu", threads=1, prior="first-stage=1", prior_depth=5, fuse=0.5) as reranker:
        found = [[result.docid for result in one] for one in reranker.rank_many([replace(REQUEST, first_stage=tuple(scores)), shuffled])]
    assert found[0] == found[1]


def test_how_many_passages_are_read_in_part_is_told(folders):
    long = Request("which is long?", (Passage("a", "word " * 900), Passage("b", "short")), "q", passage_tokens=30)
    with Reranker(str(folders("llama")), device="cpu", threads=1) as reranker:
        trace = next(reranker.rank_many([long])).trace
    assert (trace.cut, trace.cut_tokens) == (1, 30)


def test_a_cascade_takes_such_a_model_before_a_listwise_one_and_after(folders, tiny_model):
    for small, large in ((str(folders("llama")), str(tiny_model)), (str(tiny_model), str(folders("llama")))):
        with Reranker(small, cascade=large, defer_budget=0.5, device="cpu", threads=1, window=4, stride=2) as reranker:
            ranking = next(reranker.rank_many([REQUEST]))
        assert len(ranking) == 9
        assert ranking.trace.strategy == "sliding"
        assert any(">" in window.scorer for window in ranking.trace.windows)
        assert any(">" not in window.scorer for window in ranking.trace.windows)


@pytest.mark.parametrize(
    ("card", "problem"),
    [
        (CARD.replace("pointwise: {yes: y, no: n}", ""), "names the tokens to read; answer: pointwise needs it"),
        (CARD.replace("answer: pointwise", ""), "names the tokens to read"),
        (CARD.replace("yes: y,", "yes: yes,"), "YAML reads a bare yes or no as a truth value: quote the token"),
        (CARD + "label_ids: [1, 2]", "label_ids, chat, system_role: not with answer: pointwise"),
        ("template: compact\nanswer: pointwise\npointwise: {yes: y}", "'compact': shows a window of passages; answer: pointwise needs one"),
        ("template: compact-mark\n", "'compact-mark': shows one passage per prompt: use it with answer: pointwise"),
        (CARD.replace("y, no: n", "nonesuch"), r"pointwise\.yes: 'nonesuch' is not one token"),
    ],
)
def test_a_card_that_is_wrong_is_named_with_field_and_cure(card, problem, tmp_path, tiny_model):
    with pytest.raises(InputError, match=problem):
        load_model(carded(tmp_path / "wrong", tiny_model, card))


def test_another_answer_than_its_own_is_refused(folders):
    with pytest.raises(ModelError, match="its settings are made for answer: pointwise, so it cannot answer by"):
        load_model(str(folders("llama")), answer="permutation")
    with pytest.raises(ModelError, match="reads one passage at a time"):
        _ = load_model(str(folders("llama"))).prompter
