"""At start a service asks a dozen obvious questions: it warns of a model that does not find the answers, or refuses it."""

from __future__ import annotations

import logging

import pytest

from firstrank.reranker.errors import ModelError
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.server.metrics import Metrics
from firstrank.server.registry import ServedModel
from firstrank.server.settings import load_settings
from tests.reranker.scorers.test_known_answers import Places
from tests.server.serving import in_loop


def served(check, *, right=False):
    return ServedModel("a-model", lambda: (Places(right), Schedule()), Metrics(), slots=1, check=check)


@in_loop
async def test_a_model_that_finds_nothing_is_refused_where_that_is_asked_for():
    model = served("strict")
    with pytest.raises(ModelError, match="model 'a-model': 2 of 12 obvious answers found"):
        await model.load()
    assert model.state == "failed"


@pytest.mark.parametrize(("check", "right", "warned"), [("warn", False, True), ("warn", True, False), ("off", False, False)])
@in_loop
async def test_else_it_is_warned_of_or_left_alone(check, right, warned, caplog):
    model = served(check, right=right)
    with caplog.at_level(logging.WARNING, "firstrank.models"):
        await model.load()
    await model.close()
    assert ("obvious answers found" in caplog.text) is warned


def test_it_is_a_setting_of_each_model():
    settings = load_settings(check="strict", model={"default": {"check": "off"}, "other": {}})
    assert (settings.model_settings("default").check, settings.model_settings("other").check) == ("off", "strict")
    settings.setup("default")
