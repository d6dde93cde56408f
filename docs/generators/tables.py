"""Markdown tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are escaped, so that a bar or a line break in one does not end it."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)


def cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def code(text: object) -> str:
    return f"`{text}`" if str(text) else ""


def sentence(text: str) -> str:
    """With a full stop at its end and, where it begins with a plain word, a capital."""
    text = re.sub(r"^[a-z]+(?= [a-zA-Z])", lambda word: word[0].capitalize(), text.strip())
    return text if not text or text[-1] in ".:…!?" else f"{text}."
