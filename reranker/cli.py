"""The command `firstrank`. Each subcommand is found through the entry-point group `firstrank.commands` and imported when it is used.

An entry point names a function (one command) or a `typer.Typer` (a group of commands). Its module is light: what it needs
for its work it imports when it works, so that `firstrank --help` answers at once.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoint, entry_points, requires, version
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from firstrank.reranker.commands.checks import checked
from firstrank.reranker.commands.console import complain, show_notes, widen_help
from firstrank.reranker.commands.interrupts import exit_code, interrupted_by, was_interrupted
from firstrank.reranker.errors import FirstrankError, InputError, Interrupted
from firstrank.reranker.models import progress

GROUP = "firstrank.commands"
_ORDER = ("rerank", "retrieve", "feedback", "serve", "eval", "calibrate", "bench", "reproduce", "train", "data", "models", "mcp", "doctor")


class _Subcommands(TyperGroup):
    """A group whose commands are entry points, in the order in which a newcomer meets them."""

    def list_commands(self, ctx: Any) -> list[str]:
        found = _commands()
        return [name for name in _ORDER if name in found] + sorted(set(found) - set(_ORDER))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = _commands().get(cmd_name)
        return None if found is None else _command(found)


app = typer.Typer(
    cls=_Subcommands,
    name="firstrank",
    help="Listwise LLM reranking from the first token's logits.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"firstrank {version('firstrank')}")
        raise typer.Exit


@app.callback()
def _root(
    show: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version, and end.")] = False,
) -> None:
    """Listwise LLM reranking from the first token's logits."""


def main() -> None:
    """Runs the command line. Exit code 0, 1 (failed) or 2 (bad input); an error is a sentence, not a trace."""
    if sys.platform == "win32":
        sys.exit("Firstrank runs on Linux and macOS; on Windows, run it in the Windows Subsystem for Linux (WSL)")
    show_notes()
    widen_help()
    if sys.argv[1:2] != ["serve"]:  # its log says what it does
        progress.draw()
    try:
        app()
    except BrokenPipeError:
        _leave_pipe()
        sys.exit(1)
    except (Interrupted, KeyboardInterrupt):
        _leave_interrupted()
    except Exception as error:
        if was_interrupted():
            _leave_interrupted()
        if not isinstance(error, FirstrankError):
            error = _lacking(error)
        complain(str(error))
        sys.exit(error.exit_code)


def _leave_interrupted() -> NoReturn:
    came = interrupted_by()
    how = "interrupted" if came is signal.SIGINT else f"ended by {came.name}"
    with suppress(OSError):  # a terminal that hung up is gone
        complain("", f"{how}: {_GO_ON.get(sys.argv[1], 'nothing was written')}")
    sys.exit(exit_code())


def _lacking(error: Exception) -> InputError:
    """What to say of a package that an installation for evaluation alone does without. Raises any other error again."""
    missing = (getattr(error, "name", None) or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or not _is_needed(missing):
        raise error
    return InputError(f"this needs the package {missing!r}, which is not installed: pip install firstrank brings it and all the others")


def _is_needed(module: str) -> bool:
    """Whether Firstrank asks for the package of that module, which an installation for evaluation alone does without."""
    names = {re.split(r"[^\w.-]", one, maxsplit=1)[0].lower() for one in requires("firstrank") or () if "extra ==" not in one}
    return module.replace("_", "-").lower() in names


_AGAIN = "run the same command to go on"
_GO_ON = {"rerank": _AGAIN, "eval": _AGAIN, "data": _AGAIN, "train": f"{_AGAIN} from the last checkpoint", "reproduce": _AGAIN}


def _leave_pipe() -> None:
    """Who reads our output has left; nothing more goes there, not even at the end of the program."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@cache
def _commands() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


@cache
def _command(entry: EntryPoint) -> Any:
    found = entry.load()
    if isinstance(found, typer.Typer):
        command = typer.main.get_command(found)
    else:
        single = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
        single.command(name=entry.name)(found)
        command = typer.main.get_command(single)
    command.name = entry.name
    return checked(command, entry.name)
