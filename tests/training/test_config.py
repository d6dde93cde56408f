"""Recipes: what is wrong with one is named."""

from __future__ import annotations

from typing import Any

import pytest

from firstrank.reranker.config import config_dir
from firstrank.reranker.errors import InputError
from firstrank.reranker.models.catalog import read_settings
from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.training.config import Config, read_config
from firstrank.training.ramps import Ramp, Range
from firstrank.training.run import exported_spec

PLAIN = {"train": "a.jsonl", "output": "out"}


@pytest.mark.parametrize("path", sorted((config_dir() / "training").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path):
    assert read_config(path.stem).train


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("optimizer.lr=1", r"^optimizer.lr=1: optimizer: there is no such key \(did you mean optimiser\?\)"),
        ("optimiser.learning_rate=1", "^optimiser.learning_rate=1: optimiser.learning_rate: there is no such key"),
        ("optimiser.lr=fast", "optimiser.lr: Input should be a valid number"),
        ("draw.window=[5, 2]", r"draw.window: .*\[5, 2\]: give \[low, high\]"),
        ("draw={tokens: 500}", "draw: .*tokens is shared out among window's passages, within passage_tokens: give both"),
        ("tuning.method=qlora", "tuning.method: Input should be 'lora', 'full' or 'lisa'"),
        ("loss={rank: {weight: 0}, lm: {weight: 0}}", "loss: .*both 0: nothing would be learned"),
        ("reweighting={kind: linupper}", "reweighting: compares the windows of a step"),
        ("serve.windw=5", r"serve.windw: there is no such key \(did you mean serve.window\?\)"),
        ("serve.strategy=slidng", "serve: .*unknown strategy 'slidng'"),
        ("serve={window: 4, stride: 9}", "serve: .*stride=9 is larger than window=4"),
        ("serve.window=1", "serve.window: Input should be greater than or equal to 2"),
        ("excerpt=query", r"excerpt: there is no such key \(did you mean serve.excerpt\?\)"),
        ("loss.rank={name: listnet, options: {temperature: -1}}", "loss.rank: .*temperature is -1: it must be above 0"),
        ("loss.rank.name=lambdrank", r"^loss.rank.name=lambdrank: loss.rank: .*did you mean lambdarank"),
        ("loss.rank.weight=-1", "loss.rank.weight: .*numbers of 0 or more are expected"),
        ("loss.lm.weight={2: 1}", "loss.lm.weight: .*2 is no progress"),
        ("loss.rank.name=wasserstein", "wasserstein compares the windows of a forward pass; say batch.windows=8"),
        ("loss={rank: {head: own}, lm: {weight: 0}}", "rank.head: own: the labels would learn nothing"),
        ("draw.random_negatives=3", "draw.random_negatives: 3 is more than 1: it is a share"),
        ("weights=[1, 2]", "weights: 2 for 1 files of train"),
        ("lr=1", r"lr: there is no such key \(did you mean optimiser.lr\?\)"),
        ("steps", "'steps': write key=value"),
        ("steps=[", "the value is not YAML"),
    ],
)
def test_a_bad_key_or_value_is_named(tmp_path, override, complaint):
    path = tmp_path / "recipe.yaml"
    path.write_text("train: a.jsonl\noutput: out\nbatch: {windows: 1, accumulation: 1}\n")
    with pytest.raises(InputError, match=complaint):
        read_config(path, [override])


@pytest.mark.parametrize(
    ("name", "window", "stride", "excerpt"),
    [
        ("first-mistral", 20, 10, None),
        ("first-qwen3", 20, 10, None),
        ("fullrank-mistral", 100, 10, None),
        ("smollm2-cpu", 20, 10, "query"),
        ("tiny", 5, 2, "query"),
    ],
)
def test_what_the_shipped_recipes_export(name, window, stride, excerpt):
    config = read_config(name)
    spec = exported_spec(config, read_settings(config.model))
    assert (spec.window, spec.stride, spec.excerpt) == (window, stride, excerpt)


def exported(own: ModelSpec, **serve: Any) -> ModelSpec:
    return exported_spec(Config.model_validate(PLAIN | {"draw": {"window": [2, 40]}, "serve": serve}), own)


def test_what_a_recipe_does_not_say_the_base_model_says():
    own = ModelSpec(strategy="tournament", window=10, stride=5, passage_tokens=48, excerpt="query")
    assert exported(own) == own, "the sizes that draw trains on are not the window that it serves"
    assert exported(own, window=6).schedule == Schedule("tournament", 6, 3, 1)
    assert exported(own, strategy="topdown:k=3", window=30, stride=9).schedule == Schedule("topdown:k=3", 30, 9, 1)
    assert exported(own, stride=2).schedule == Schedule("sliding", 10, 2, 1), "as --stride does"
    assert exported(own, passage_tokens=99, excerpt="start").read_template().tokens == 99
    with pytest.raises(InputError, match=r"do not fit together: .*stride: 12 is more than window 10"):
        exported(own, stride=12)


def test_overrides_reach_into_sections(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("train: a.jsonl\noutput: out\noptimiser: {lr: 5e-6, warmup: 3}\n")
    config = read_config(path, ["optimiser.lr=1e-4", "loss.rank.name=listmle", "seed=3"])
    assert (config.optimiser.lr, config.optimiser.warmup, config.loss.rank.name, config.seed) == (1e-4, 3, "listmle", 3)


def test_an_unknown_recipe_lists_those_there_are():
    with pytest.raises(InputError, match=r"nothing: no such recipe; .*first-mistral"):
        read_config("nothing")


def test_ramps_are_straight_between_their_points_and_flat_outside():
    ramp = Ramp.model_validate({0.2: 1.0, 0.6: 0.0})
    assert [ramp.at(p) for p in (0.0, 0.2, 0.4, 0.6, 1.0)] == pytest.approx([1.0, 1.0, 0.5, 0.0, 0.0])
    window = Range.model_validate({0: [2, 4], 1: [10, 20]})
    assert [window.at(p) for p in (0.0, 0.5, 1.0)] == [(2, 4), (6, 12), (10, 20)]
    assert Range.model_validate([3, 7]).at(0.9) == (3, 7)


def test_sections_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Config.model_validate(PLAIN).seed = 1
