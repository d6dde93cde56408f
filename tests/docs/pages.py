"""The pages that people read, and the blocks of code in them, as Sybil finds them.

Block and output: a block without a language (or `text`) right after a block of code is what that code prints.
Not run: `<!-- skip: next "needs a GPU" -->` before a block; it is checked for syntax only, and its commands for options that exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sybil import Document, Region, Sybil
from sybil.example import Example
from sybil.parsers.markdown import SkipParser
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

ROOT = Path(__file__).parents[2]
OUTPUT = ("", "text")
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(page for page in (ROOT / "docs").glob("**/*.md")),
        ROOT / "examples/pydocs/README.md",
    ]
)
ELSEWHERE = ("docs/clients.md", "docs/javascript.md")
"""pages whose code needs packages of its own: `make test-integrations` runs every line of them"""
DEFAULT_MODEL = "<!-- runs with the default model -->"
"""in a page whose outputs are the default model's; the others run with a tiny one"""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code, and what stands below it as its output: the text and where it is in the page."""

    language: str
    source: str
    output: str | None
    span: tuple[int, int]
    number: int


class Blocks:
    """A Sybil parser: one region a block of code, evaluated by `run`."""

    def __init__(self, run: object) -> None:
        self.run = run

    def __call__(self, document: Document) -> Iterator[Region]:
        lexer = RawFencedCodeBlockLexer(re.compile(r"(?P<language>[\w-]*)[^\n]*\n"))
        found = list(lexer(document))
        for number, region in enumerate(found):
            if region.lexemes["language"] in OUTPUT:
                continue
            after = found[number + 1] if number + 1 < len(found) else None
            printed = after is not None and after.lexemes["language"] in OUTPUT and not document.text[region.end : after.start].strip()
            output = str(after.lexemes["source"]) if printed else None
            span = _inside(document.text, after) if printed else (0, 0)
            block = Block(region.lexemes["language"], str(region.lexemes["source"]), output, span, number)
            yield Region(region.start, region.end, block, self.run)


def _inside(text: str, region: Region) -> tuple[int, int]:
    return text.index("\n", region.start) + 1, text.rindex("\n", region.start, region.end) + 1


def parsed(page: Path, run: object) -> Document:
    return Sybil(parsers=[Blocks(run), SkipParser()]).parse(page)


def examples(page: Path, run: object) -> Iterator[Example]:
    """The page's blocks and skips, in order, to be evaluated one after another."""
    return iter(list(parsed(page, run).examples()))


def blocks(page: Path) -> list[Block]:
    """All blocks of code of a page, those that are not run too."""
    return [one.parsed for one in examples(page, lambda example: None) if isinstance(one.parsed, Block)]
