"""How commands speak: notes on stderr, results on stdout."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_NARROWEST = 100
"""columns of a table or a help page: a terminal that has fewer wraps them, where rich would cut names short"""


def widen_help() -> None:
    """Help pages at their full width on a narrow terminal; wherever Typer keeps it under another name they stay as they were."""
    from typer import rich_utils

    if shutil.get_terminal_size().columns < _NARROWEST:
        rich_utils.MAX_WIDTH = _NARROWEST


def note(text: str) -> None:
    """A plain line on stderr."""
    Console(stderr=True, highlight=False, emoji=False).print(text, markup=False, soft_wrap=True)


def complain(text: str, plain: str = "") -> None:
    """An error on stderr, as it is: no id in it is taken for markup or an emoji. Without an error, a plain line."""
    console = Console(stderr=True, highlight=False, emoji=False)
    console.print(Text.assemble(("error: ", "bold red"), text) if text else Text(plain), soft_wrap=True)


def print_json(found: Mapping[str, Any]) -> None:
    print(json.dumps(found, ensure_ascii=False, indent=2), file=sys.stderr if _on_standard_error else sys.stdout)


_on_standard_error = False


def speak_on_standard_error() -> None:
    """From now on results go to standard error: the output itself is on standard output."""
    global _on_standard_error
    _on_standard_error = True


def speak_on_standard_output() -> None:
    global _on_standard_error
    _on_standard_error = False


def print_table(table: Table) -> None:
    """A table, whose cells are text as it is. Where the terminal is too narrow, lines are folded: what must be typed is never cut."""
    for column in table.columns:
        column.overflow = "fold"
    console = Console(stderr=_on_standard_error, highlight=False, emoji=False, markup=False)
    if table.columns:
        names = table.columns[0]
        names.no_wrap, names.min_width = True, max((len(str(cell)) for cell in names.cells), default=0)
        console.width = max(console.width, _NARROWEST)
    console.print(table)


def print_measures(measured: Mapping[str, Mapping[str, float]]) -> None:
    """measure -> {column -> value}, as a table."""
    columns = list(next(iter(measured.values())))
    table = Table("measure", *columns)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, values in measured.items():
        table.add_row(name, *(f"{values[column]:.4f}" for column in columns))
    print_table(table)


class Notes(logging.Handler):
    """Shows what the library logs as notes."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Other packages may set their own loggers to speak of everything."""
        return record.levelno >= logging.WARNING or record.name.partition(".")[0] == "firstrank"

    def emit(self, record: logging.LogRecord) -> None:
        note(self.format(record))


def show_notes() -> None:
    """Firstrank's own messages from INFO on, and those of other packages from WARNING on."""
    root = logging.getLogger()
    if not any(isinstance(handler, Notes) for handler in root.handlers):
        root.addHandler(Notes())
    logging.getLogger("firstrank").setLevel(logging.INFO)
