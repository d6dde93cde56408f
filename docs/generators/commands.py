"""The command line's reference: every command with its options, from Typer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from docs.generators.tables import code, sentence, table
from firstrank.reranker.cli import app
from firstrank.server.cli import _command as serve_command


def commands() -> Iterator[tuple[str, Any]]:
    """Each command that runs something, by its whole name (`data build qrels`)."""
    root = typer.main.get_command(app)
    yield from _leaves("firstrank", root, typer.Context(root))


def page() -> str:
    """A section a command: its usage, its words and a table of options for each panel."""
    return "\n\n".join(_section(name, command) for name, command in commands())


def options(command: Any) -> list[Any]:
    return [one for one in command.params if one.param_type_name == "option" and not one.hidden]


def flags(option: Any) -> str:
    return " ".join(code(name) for name in (*option.opts, *option.secondary_opts))


def _leaves(name: str, command: Any, context: Any) -> Iterator[tuple[str, Any]]:
    if name == "firstrank serve":  # its options are the service's settings, which it reads when it is used
        single = typer.Typer(add_completion=False)
        single.command()(serve_command())
        yield name, typer.main.get_command(single)
    elif hasattr(command, "list_commands"):
        for inner in command.list_commands(context):
            yield from _leaves(f"{name} {inner}", command.get_command(context, inner), context)
    else:
        yield name, command


def _section(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    usage = " ".join([name, "[OPTIONS]", *map(_metavar, arguments)])
    parts = [f"## {name}", _plain(command.help or ""), f"```text\n{usage}\n```"]
    if described := [(code(_metavar(one)), _plain(one.help or "")) for one in arguments if one.help]:
        parts.append(table(("argument", "what"), described))
    for panel in dict.fromkeys(getattr(one, "rich_help_panel", None) for one in options(command)):
        rows = [_row(one) for one in options(command) if getattr(one, "rich_help_panel", None) == panel]
        parts += [f"**{panel or 'Options'}**", table(("option", "default", "what"), rows)]
    return "\n\n".join(part for part in parts if part)


def _metavar(argument: Any) -> str:
    return (argument.metavar or argument.name.upper()) + ("…" if argument.nargs == -1 else "")


def _row(option: Any) -> tuple[str, str, str]:
    required = "required" if option.required else ""
    default = "" if option.default in (None, False, (), []) or callable(option.default) else code(_value(option.default))
    return flags(option), default or required, _plain(option.help or "")


def _value(default: Any) -> str:
    return str(getattr(default, "value", default))


def _plain(text: str) -> str:
    """Help text as Markdown: what Typer escapes for rich is not escaped here."""
    return sentence(re.sub(r"<(\w+)>", r"`\1`", text.replace("\\[", "[").replace("\b", "").replace("*", r"\*")))
