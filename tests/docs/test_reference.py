"""The reference has an entry, with words, for every command, option, YAML key, public name, error, route, field and metric."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.generators import commands, errors, keys, markers, models, names, service
from firstrank import __all__ as public
from firstrank.reranker.config import config_dir
from firstrank.reranker.errors import FirstrankError
from firstrank.server import metrics
from firstrank.server.errors import TYPES

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS = dict(commands.commands())
REFERENCE = DOCS / "reference"
SERVER = DOCS.parent / "server"


def made(page: str) -> str:
    return markers.expanded((REFERENCE / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_its_options_have_an_entry_with_words(name: str) -> None:
    command: Any = COMMANDS[name]
    section = made("cli.md").partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert command.help
    assert command.help.split("\n")[0][:40] in section.replace("\\*", "*").replace("`", "")
    for option in commands.options(command):
        row = re.search(rf"^\| .*`{option.opts[0]}`.* \| .* \| (.*) \|$", section, re.MULTILINE)
        assert row is not None, option.opts
        assert len(row[1].strip()) > 1, f"{option.opts}: no words"


@pytest.mark.parametrize("file", keys.FILES, ids=lambda file: file.title)
def test_a_key_has_an_entry_with_words(file: keys.File) -> None:
    section = made("yaml.md").partition(f"\n## {file.title}\n")[2].partition("\n## ")[0]
    for name in file.reader.model_fields:
        row = re.search(rf"^\| `{name}` \| .*? \| .*? \| (.*) \|$", section, re.MULTILINE)
        assert row is not None, name
        assert len(row[1].strip()) > 1, f"{name}: no words"


def test_every_key_of_a_shipped_file_is_in_the_reference() -> None:
    page = made("yaml.md")
    for folder in ("models", "prompts", "questions", "encoders", "eval"):
        for file in (config_dir() / folder).glob("*.yaml"):
            assert [key for key in yaml.safe_load(file.read_text(encoding="utf-8")) if f"| `{key}` |" not in page] == [], file


def test_a_public_name_has_an_entry() -> None:
    page = made("python.md")
    assert [name for name in public if name != "__version__" and f"::: {names.path_of(name)}" not in page.splitlines()] == []


def test_an_error_has_an_entry_with_words() -> None:
    page = made("errors.md")
    found = [one for one, _ in errors.classes()]
    assert FirstrankError in found
    assert [one.__name__ for one in found if not re.search(rf"`{one.__name__}` \| \d \| \w", page)] == []


def test_a_route_and_a_field_have_an_entry_with_words() -> None:
    page, found = made("http.md"), service.document()
    assert [
        path for path, operations in found["paths"].items() for method in operations if f"### {method.upper()} {path}\n" not in page
    ] == []
    for name, schema in found["components"]["schemas"].items():
        section = page.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        assert [field for field in schema.get("properties", {}) if f"| `{field}` |" not in section] == [], name


def test_a_metric_has_an_entry_with_words() -> None:
    page = (DOCS / "server.md").read_text(encoding="utf-8")
    for family in (one for one in metrics.Metrics()._registry.collect() if one.name.startswith("firstrank_")):
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        assert re.search(rf"^\| `{name}` \| .*? \| .*? \| \w.* \|$", page, re.MULTILINE), name


@pytest.mark.parametrize("name", models.names())
def test_a_model_has_a_page_with_its_licence_memory_and_speed(name: str) -> None:
    page = models.page(name)
    for fact in ("What it is", "Licence", "Weights", "How it answers", "Speed"):
        assert re.search(rf"^\| {fact} \| .+ \|$", page, re.MULTILINE), fact
    assert f"[{name}]({name}.md)" in models.list_page()


def test_what_is_noted_of_a_model_is_of_one_that_there_is() -> None:
    assert set(models.notes()) <= set(models.names())


def test_every_page_is_in_the_navigation() -> None:
    text = (Path(__file__).parents[2] / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"([\w/.-]+\.md)", text))
    assert {page.relative_to(DOCS).as_posix() for page in DOCS.glob("**/*.md")} - listed == set()


MESSAGES = re.findall(r"^### `(.+)`$", (DOCS / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)
OTHERS = ("No matching distribution found", "401", "429", "404", "413", "504", "503")
"""messages of pip, and statuses"""


@pytest.mark.parametrize("message", [one for one in MESSAGES if not one.startswith(OTHERS)])
def test_a_message_of_troubleshooting_is_one_of_ours(message: str) -> None:
    """Its words between what is filled in stand in the code."""
    root = DOCS.parent
    code = "".join(
        file.read_text(encoding="utf-8") for part in ("reranker", "server", "training", "eval") for file in (root / part).glob("**/*.py")
    )
    plain = re.sub(r'"\s*\n\s*f?"', "", code)
    words = [one.strip() for one in re.split(r"'[^']*'|\d[\d.:]*|\b[A-Z]\b|`, `|--[\w-]+|:", message)]
    assert [one for one in words if len(one) > 4 and one not in plain] == []


def test_a_type_of_error_has_a_row_with_what_to_do() -> None:
    """The types of a bare status, and those that are named in the service's code."""
    named = {kind for file in SERVER.glob("*.py") for kind in re.findall(r'kind="(\w+)"', file.read_text(encoding="utf-8"))}
    rows = errors.http_errors()
    assert set(rows) == named | set(TYPES.values())
    assert all(rows[kind].status == status for status, kind in TYPES.items())
    page = made("errors.md")
    assert all(f"| {row.status} | `{kind}` | {row.when} | {row.mend} |" in page for kind, row in rows.items())
