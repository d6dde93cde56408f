"""Every block of code of a page runs, and prints what the page shows. `make test-docs`; FIRSTRANK_WRITE_DOCS=1 renews what is shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs.pages import DEFAULT_MODEL, ELSEWHERE, PAGES, blocks, name_of
from tests.docs.running import Reader, renewed, same

pytestmark = pytest.mark.docs
RUN = [
    page for page in PAGES if name_of(page) not in ELSEWHERE and any(block.language in ("python", "bash", "sh") for block in blocks(page))
]


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_a_page_s_blocks_run_and_print_what_it_shows(page: Path, tiny_model: Path, tmp_path: Path) -> None:
    model = None if DEFAULT_MODEL in page.read_text(encoding="utf-8") else tiny_model
    reader = Reader(tmp_path, model)
    reader.read(page)
    if os.environ.get("FIRSTRANK_WRITE_DOCS"):
        renewed(page, reader.differ)
    else:
        assert [f"shown:\n{block.output}\nprinted:\n{printed}" for block, printed in reader.differ] == []


@pytest.mark.parametrize(
    ("shown", "printed", "equal"),
    [
        ("a 1.0\n", "a 1.0", True),
        ("a 1.0", "a 1.1", False),
        ("2 queries in 1.9 s", "2 queries in 0.4 s", True),
        ("id …", "id 7f2c", True),
        ("one", "one\ntwo", False),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', True),
    ],
)
def test_outputs_are_compared(shown: str, printed: str, equal: bool) -> None:
    assert same(shown, printed) is equal
