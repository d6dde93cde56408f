"""Pages keep to the style of docs/style, which vale reads too; front pages have short sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from docs.generators.commands import commands, options
from docs.generators.reading import FRONT, WORDS, longest, prose, sentences, words
from tests.docs.pages import PAGES, ROOT, name_of

STYLE = ROOT / "docs/style/Firstrank"


def rules() -> Iterator[tuple[str, str]]:
    """Each pattern, and what is said of it."""
    for file in sorted(STYLE.glob("*.yml")):
        rule = yaml.safe_load(file.read_text(encoding="utf-8"))
        for pattern, instead in rule.get("swap", {}).items():
            yield pattern, f"write {instead!r}"
        for pattern in rule.get("tokens", ()):
            yield pattern, "is no word of the field"


def odd(text: str) -> list[str]:
    return [f"{found.group()!r}: {said}" for pattern, said in rules() for found in re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", text, re.I)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_keeps_to_the_style(page: Path) -> None:
    assert odd(prose(page.read_text(encoding="utf-8"))) == []


def test_help_texts_keep_to_the_style() -> None:
    texts = [text for _, command in commands() for text in (command.help or "", *(option.help or "" for option in options(command)))]
    assert odd("\n".join(texts)) == []


@pytest.mark.parametrize("page", sorted(set(FRONT)), ids=name_of)
def test_a_front_page_has_no_long_sentence(page: Path) -> None:
    most = longest(page.read_text(encoding="utf-8"))
    assert words(most) <= WORDS, most


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


def test_sentences_are_found() -> None:
    text = "# Title\n\nOne `code` here. Two [words](x.md)!\n\n- a point\n- another\n\n```bash\nnot this.\n```\n\n| a | b |\n"
    assert sentences(text) == ["One code here.", "Two words!", "a point", "another"]
    assert words("It has 3.5 words, or-five.") == 5
