"""Bars and spinners: on a terminal, where a command asks for them, and nowhere else."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from firstrank.reranker.models import progress
from firstrank.reranker.models.progress import Progress, working


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(progress, "_drawn", True)

    def opened():
        monkeypatch.setattr(sys, "stderr", Terminal())  # within the test: between fixture and test, pytest puts its own there
        return sys.stderr

    return opened


def test_a_step_within_another_takes_its_place_and_the_line_goes_at_the_end(terminal, tmp_path, monkeypatch):
    terminal = terminal()
    monkeypatch.setattr(progress._Size, "max_refresh", None)
    (tmp_path / "weights").write_bytes(bytes(3_000_000))
    with working("loading model x"):
        assert [step.what for step in progress._working] == ["loading model x"]
        with working("fetching x", tmp_path):
            line = progress._working[-1].line
            line.refresh()
            assert "fetching x" in terminal.getvalue()
            assert "3 MB" in terminal.getvalue()
            with Progress("encoding", 3) as inner:
                inner.advance(3)
        line.refresh()
        assert line.tasks[0].description == "loading model x"
    assert not progress._working
    assert "encoding" not in terminal.getvalue()  # one line at a time


def test_what_fails_takes_its_line_away(terminal):
    terminal = terminal()
    with pytest.raises(ValueError, match="no"), working("a"), working("b"):
        raise ValueError("no")
    assert not progress._working
    with Progress("encoding passages", 10, done=2) as bar:
        bar.advance(5)
        bar._bar.refresh()
    assert "encoding passages" in terminal.getvalue()
    assert "7/10" in terminal.getvalue()


@pytest.mark.parametrize(("drawn", "is_terminal"), [(False, True), (True, False), (False, False)])
def test_a_log_and_a_program_see_nothing_drawn(terminal, monkeypatch, drawn, is_terminal):
    terminal = terminal()
    monkeypatch.setattr(progress, "_drawn", drawn)
    monkeypatch.setattr(terminal, "isatty", lambda: is_terminal)
    with working("loading"), Progress("encoding passages", 10) as bar:
        bar.advance()
    assert terminal.getvalue() == ""


def test_without_a_terminal_a_line_comes_now_and_then(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "firstrank")
    times = iter(range(0, 1000, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    with Progress("encoding passages", 100) as bar:
        for _ in range(4):
            bar.advance(10)
    assert caplog.messages[0].startswith("encoding passages: 20 of 100, ")
