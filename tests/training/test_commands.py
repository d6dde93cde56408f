"""`firstrank data`: what several commands share is spelled once."""

from __future__ import annotations

import inspect

import pytest

from firstrank.reranker.commands import options
from firstrank.training.commands import data

SHARED = {"run": options.Run, "queries": options.Queries, "corpus": options.Corpus, "depth": options.Depth, "as_json": options.AsJson}
COMMANDS = [*data.build.registered_commands, *data.data.registered_commands]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_an_option_that_commands_share_is_spelled_once(command):
    parameters = inspect.signature(command.callback, eval_str=True).parameters
    assert "as_json" in parameters
    assert {name: parameters[name].annotation for name in SHARED if name in parameters} == {
        name: annotation for name, annotation in SHARED.items() if name in parameters
    }
