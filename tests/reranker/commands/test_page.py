"""docs/command-line.md says what the table of what goes with what says. FIRSTRANK_WRITE_DOCS=1 renews it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from firstrank.reranker.scorers import rules

PAGE = Path(__file__).parents[3] / "docs/command-line.md"
BEGIN, END = "<!-- what goes with what -->\n", "<!-- end -->"
OF_PYTHON = {"base_urls", "engine", "batch_tokens", "constrained"}


def flag(name: str) -> str:
    return f"`--{name.replace('_', '-')}`"


def table() -> str:
    lines = ["| option | of use | command |", "|---|---|---|"]
    for row in rules.EFFECTS:
        names = [name for name in row.options if name not in OF_PYTHON]
        if not names:
            continue
        first = ", ".join(map(flag, names))
        commands = ", ".join(row.commands) or ("all" + (f" but {', '.join(row.but)}" if row.but else ""))
        only = re.sub(r"(?<!`)--[a-z-]+", lambda match: f"`{match[0]}`", row.only.format_map(rules._Names(flag)))
        lines.append(f"| {first} | {only} | {commands} |")
    return "\n".join(lines) + "\n"


def test_the_page_has_the_table() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    whole = before + BEGIN + table() + END + rest.partition(END)[2]
    if os.environ.get("FIRSTRANK_WRITE_DOCS"):
        PAGE.write_text(whole, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == whole
