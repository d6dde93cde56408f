"""docs/training.md says what the code has: every key with its default, every loss, every recipe, every builder; and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

from firstrank.reranker.cli import app
from firstrank.reranker.config import config_dir
from firstrank.training.commands.data import build
from firstrank.training.config import Config
from firstrank.training.losses import NAMES, options_of
from firstrank.training.sections import Section
from tests.training.conftest import as_collection, write_rule

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")]


def plain_of(default: Any) -> Any:
    return json.loads(default.model_dump_json()) if isinstance(default, BaseModel) else default


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each key with its default. A section that is off by default is a key too."""
    for name, field in model.model_fields.items():
        inner = [a for a in (field.annotation, *get_args(field.annotation)) if isinstance(a, type) and issubclass(a, Section)]
        if not inner or field.default is None:
            yield prefix + name, ... if field.is_required() else field.default
        if inner:
            yield from keys(inner[0], f"{prefix}{name}.")


def test_every_key_is_there_in_order_and_no_other():
    assert [re.findall(r"`([^`]+)`", row[0])[0] for row in rows(section("Every key"))] == [key for key, _ in keys(Config)]


@pytest.mark.parametrize(("key", "default"), keys(Config))
def test_defaults_are_the_code_s(key, default):
    (said,) = (row[1] for row in rows(section("Every key")) if row[0] == f"`{key}`")
    if default is ...:
        assert said == "*to be given*"
    elif default is None or default == "":
        assert "`" not in said
    else:
        plain = plain_of(default)
        assert yaml.safe_load(said.strip("`")) == (list(plain) if isinstance(plain, tuple) else plain)


def test_every_loss_is_there_with_its_options_and_no_other():
    table = section("What a step is made of").partition("| `loss.rank.name` |")[2].partition("\n\n")[0]
    said = {tuple(re.findall(r"`(\w+)`", names)): re.findall(r"`(\w+)`", options) for names, _, options in rows(table)}
    assert sorted(name for names in said for name in names) == sorted(NAMES)
    for names, options in said.items():
        assert options == [option for name in names for option in options_of(name)]


def test_every_recipe_is_there_and_no_other():
    assert sorted(row[0].strip("`") for row in rows(section("Recipes"))) == sorted(
        path.stem for path in (config_dir() / "training").glob("*.yaml")
    )


def test_every_builder_is_there_and_no_other():
    assert sorted(row[0].strip("`") for row in rows(section("Data")) if "…" not in row[0]) == sorted(
        command.name for command in build.registered_commands
    )


def test_its_commands_work_as_they_stand(tiny_model, tmp_path, monkeypatch):
    """The first block of the page, word by word: DIR is a collection, `…` is the rest of the command above, the model is a tiny one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path / "cache"))
    collection = as_collection(write_rule(tmp_path / "examples.jsonl", 8, seed=1), tmp_path / "DIR")
    (tmp_path / "DIR" / "qrels").mkdir()
    lines = Path(collection["qrels"]).read_text().splitlines()
    rows = [line.split() for line in lines]
    (tmp_path / "DIR/qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(f"{q}\t{d}\t{g}\n" for q, _, d, g in rows))
    queries = [line.split("\t") for line in Path(collection["queries"]).read_text().splitlines()]
    (tmp_path / "DIR/queries.jsonl").write_text("".join(json.dumps({"_id": qid, "text": text}) + "\n" for qid, text in queries))
    (tmp_path / "bm25.trec").write_text(Path(collection["run"]).read_text())
    block = PAGE.partition("```bash\n")[2].partition("```")[0]
    commands = [line.partition("  #")[0].split() for line in block.splitlines()]
    assert [words[1] for words in commands] == ["install", "data", "data", "train", "train", "rerank"]
    for words in commands[1:]:
        if words[1] == "train":
            words += [f"model={tiny_model}", "template=compact", "context=1024", "draw.passage_tokens=[4, 8]"]
            words = ["steps=2" if word == "steps=200" else word for word in words]
        if words[-1] == "…":
            given = ["--run", "bm25.trec", "--queries", "DIR", "--corpus", "DIR", "--output", "out.trec", "--threads", "1"]
            words = [*words[:-1], *given]
        done = CliRunner().invoke(app, words[1:], catch_exceptions=False)
        assert done.exit_code == 0, (words, done.output)
    assert Path("out.trec").read_text().count("\n") == len(rows)
