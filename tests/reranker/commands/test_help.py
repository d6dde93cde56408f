"""Help and tables show names whole, as they are typed, on any terminal."""

from __future__ import annotations

import pytest
from rich.text import Text

from firstrank.reranker.cli import _command, _commands
from firstrank.reranker.commands.console import complain, note


def every_command():
    waiting = [_command(entry) for entry in _commands().values()]
    while waiting:
        one = waiting.pop()
        waiting += getattr(one, "commands", {}).values()
        yield one


def test_no_help_text_turns_into_an_emoji():
    for command in every_command():
        for text in filter(None, [command.help, *(getattr(one, "help", None) for one in command.params)]):
            assert Text.from_markup(text).plain == Text.from_markup(text, emoji=False).plain, text


@pytest.mark.parametrize("width", ["30", "50", "80"])
def test_no_terminal_is_too_narrow_for_a_name(firstrank, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", None)
    shown = firstrank("models", "list").out
    for name in ("default", "rank-mistral100", "first-mistral"):
        assert f" {name} " in shown
    shown = firstrank("rerank", "--help").out
    for name in ("--gpus-per-worker", "--defer-budget", "--prior-depth"):
        assert f" {name} " in shown


@pytest.mark.parametrize("name", ["urn:id:42", "q:x:1", "[bold]x[/bold]", "[/]", ":smile:", "[link=a]b"])
def test_an_id_is_shown_as_it_is(capsys, name):
    note(f"'{name}' is not there")
    complain(f"no text for {name}")
    said = capsys.readouterr().err
    assert said.count(name) == 2
