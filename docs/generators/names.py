"""The Python reference: what mkdocstrings reads of each public name, from where it is defined."""

from __future__ import annotations

import re
from pathlib import Path

from firstrank import reranker

_LIST = Path(__file__).parents[1] / "library.md"


def page() -> str:
    """A section for each section of docs/library.md that lists names, and an entry for each of its names."""
    parts: list[str] = []
    for section in re.split(r"^## ", _LIST.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        listed = [name for row in rows for name in re.findall(r"`(\w+)`", row) if name in reranker._HOME]
        if listed:
            parts += [f"## {section.splitlines()[0]}", *(f"::: {path_of(name)}" for name in listed)]
    return "\n\n".join(parts)


def path_of(name: str) -> str:
    return f"firstrank.reranker.{reranker._HOME[name]}.{name}"
