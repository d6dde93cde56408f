"""A folder of plain texts as passages: each file's paragraphs, put together to about so many characters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from firstrank.reranker.errors import InputError
from firstrank.reranker.types import Passage

ENDINGS = (".txt", ".md", ".rst", ".text", ".markdown")
_WIDTH = 1200
_BREAK = re.compile(r"\n\s*\n")


def is_folder_of_texts(path: Path) -> bool:
    """Whether a folder is to be read file by file: it is not a collection (`corpus.jsonl`)."""
    return path.is_dir() and not any(path.glob("corpus.jsonl*"))


def folder_passages(folder: Path) -> Iterator[Passage]:
    """Passages with ids like `notes/bees.md#2`, files in the order of their names. Hidden files, and bytes that are no UTF-8, are left out.

    Raises InputError for a folder without any text.
    """
    found = False
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if not file.is_file() or file.suffix.lower() not in ENDINGS or any(part.startswith(".") for part in Path(name).parts):
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, part in enumerate(_parts(text), 1):
            found = True
            yield Passage(f"{name}#{number}".replace(" ", "_"), part, title=name)
    if not found:
        raise InputError(f"{folder}: holds no text; files that end in {', '.join(ENDINGS)} are read")


def _parts(text: str) -> Iterator[str]:
    """Paragraphs joined while they are short."""
    kept = ""
    for paragraph in filter(None, map(str.strip, _BREAK.split(text))):
        if kept and len(kept) + len(paragraph) > _WIDTH:
            yield kept
            kept = ""
        kept = f"{kept}\n\n{paragraph}" if kept else paragraph
    if kept:
        yield kept
