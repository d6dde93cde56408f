"""The one value that all callers pass, and the names by which it is said."""

from __future__ import annotations

import pickle

import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.scorers.backends import Oracle
from firstrank.reranker.scorers.openai.options import OpenAIOptions, ServerSettings
from firstrank.reranker.scorers.transformers.options import TransformersOptions
from firstrank.reranker.scorers.vllm.options import VLLMOptions
from firstrank.reranker.scorers.vllm.settings import EngineSettings
from firstrank.reranker.setup import Cascade, Setup
from firstrank.reranker.strategies.schedule import Schedule
from tests.reranker.fakes import FakeScorer


def test_names_become_the_parts_that_they_belong_to():
    assert Setup.of() == Setup()
    assert Setup.of("m", device="cpu", threads=2, strategy="topdown:k=3", window="auto", top_k=5, seed=7) == Setup(
        "m", TransformersOptions(device="cpu", threads=2), Schedule("topdown:k=3", "auto", top_k=5, seed=7)
    )
    assert Setup.of(backend="vllm", dtype="bfloat16", engine={"mode": "pooling"}).backend == VLLMOptions(
        "bfloat16", EngineSettings(mode="pooling")
    )
    assert Setup.of(backend="openai", base_urls=["http://a"], engine={"top": 5}).backend == OpenAIOptions(
        ("http://a",), ServerSettings(top=5)
    )
    assert Setup.of(cascade="large", defer_rule="margin").cascade == Cascade("large", 0.3, "margin")
    assert Setup.of(backend="oracle", qrels={"q": {"d": 1}}, noise=0.5).backend == Oracle({"q": {"d": 1}}, noise=0.5)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"devise": "cuda"}, r"there is no setting 'devise' \(did you mean 'device'\?\)"),
        ({"backend": "nonesense"}, "backend 'nonesense': unknown; there are transformers, vllm, openai, chat, decisions, oracle"),
        ({"noise": 0.5}, "noise: only with backend oracle"),
        ({"backend": "vllm", "lanes": 2}, "lanes: only with backend transformers"),
        ({"backend": "openai", "dtype": "float32"}, "dtype: only with backend transformers or vllm"),
        ({"backend": "vllm", "engine": {"tensor_paralel_size": 2}}, "tensor_paralel_size: unknown; there are mode"),
        ({"backend": "openai", "engine": {"labels": "all"}}, "labels: Input should be 'ids', 'top', 'sglang'"),
        ({"backend": "oracle"}, "scores by judgments"),
        ({"backend": "oracle", "qrels": {}, "device": "cpu"}, "device: only with backend transformers"),
        ({"backend": "oracle", "qrels": {}, "cascade": "large"}, "backend oracle has none"),
        ({"defer_budget": 0.5}, "defer_budget: only with cascade"),
        ({"passes": 0}, "passes 0: must be at least 1"),
        ({"threads": 0}, "threads 0: must be at least 1"),
        ({"strategy": "topdown", "stride": 5}, r"stride: the strategy 'topdown' has no such setting; it has budget, k, top_k, window"),
    ],
)
def test_what_does_not_exist_or_has_no_effect_is_refused(settings, problem):
    with pytest.raises(InputError, match=problem):
        Setup.of(**settings)
    with pytest.raises(InputError, match=problem):
        Reranker("default", **settings)


@pytest.mark.parametrize("settings", [{"devise": "cuda"}, {"backend": "nonesense"}, {"device": "cpu"}, {"cascade": "large"}])
def test_a_scorer_of_ones_own_takes_a_schedule_and_nothing_else(settings):
    with pytest.raises(InputError, match=r"there is no setting .* there are strategy, window"):
        Reranker(FakeScorer(), **settings)


def test_what_is_given_whole_is_not_given_in_parts():
    with pytest.raises(InputError, match="window: part of the schedule"):
        Reranker(FakeScorer(), schedule=Schedule("full"), window=4)
    with pytest.raises(InputError, match="window: the Setup says it all"):
        Reranker(Setup(), window=4)


def test_a_setup_survives_a_pickle():
    for setup in (Setup(), Setup.of(backend="vllm", engine={"max_model_len": 512}), Setup.of(cascade="large"), Setup.of(backend="openai")):
        assert pickle.loads(pickle.dumps(setup)) == setup


def test_facts_tell_every_setting_apart():
    changed = [
        Setup.of(device="cpu"), Setup.of(threads=2), Setup.of(window=8), Setup.of(seed=1), Setup.of(top_k=4), Setup.of(cascade="default"),
        Setup.of(cascade="default", defer_budget=0.5), Setup.of(backend="vllm"), Setup.of(backend="vllm", engine={"mode": "generate"}),
        Setup.of(revision="main"), Setup.of("smollm2-base"),
    ]  # fmt: skip
    facts = [setup.facts() for setup in [Setup(), *changed]]
    assert all(facts[i] != facts[j] for i in range(len(facts)) for j in range(i))
    assert Setup().facts() == Setup.of(window=None).facts()


def test_an_oracle_is_told_apart_by_its_judgments_file(tmp_path):
    one, other = tmp_path / "one.qrels", tmp_path / "other.qrels"
    one.write_text("q 0 d 1\n")
    other.write_text("q 0 d 2\n")
    facts = [Setup.of(backend="oracle", qrels={}, source=str(file)).facts() for file in (one, other)]
    assert facts[0]["qrels"] != facts[1]["qrels"]
