"""Every link within the repository leads to a file that is there, and to a heading that is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from docs.generators.markers import expanded
from tests.docs.pages import ROOT

FOLDERS = ("docs", "examples", "configs", "benchmarks", ".github")
PAGES = sorted([*ROOT.glob("*.md"), *(page for name in FOLDERS for page in ROOT.glob(f"{name}/**/*.md"))])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in LINK.findall(text) if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in links if not leads_somewhere(page, link)] == []


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or target.suffix != ".md" or anchor in anchors(target))


@cache
def anchors(page: Path) -> set[str]:
    """The headings' anchors, as GitHub and MkDocs both make them of what these pages hold."""
    text = re.sub(r"```.*?```", "", expanded(page.read_text(encoding="utf-8")), flags=re.DOTALL)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip() for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    made = [re.sub(r"[^\w\s-]", "", heading.lower()) for heading in plain]
    return (
        {re.sub(r"\s", "-", one) for one in made} | {re.sub(r"[-\s]+", "-", one) for one in made} | set(re.findall(r'id="([^"]+)"', text))
    )


@pytest.mark.parametrize(
    ("link", "leads"),
    [("README.md", True), ("nonesuch.md", False), ("CONTRIBUTING.md#set-up", True), ("CONTRIBUTING.md#nonesuch", False), ("docs", True)],
)
def test_a_dead_link_and_a_dead_anchor_are_seen(link: str, leads: bool) -> None:
    assert leads_somewhere(ROOT / "README.md", link) is leads
