"""What the code never does: run what it reads. Each rule is checked in the sources, and the dangerous ones by trying."""

from __future__ import annotations

import ast
import json
import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
import torch

from firstrank.reranker.errors import FirstrankError, InputError, ModelError
from firstrank.reranker.models.catalog import find_model
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.prompt.template import read_template
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.scorers.openai.asked import base_url

ROOT = Path(__file__).parents[1]
PACKAGES = ("reranker", "server", "training", "eval", "benchmarks", "constraints", "examples")
PICKLED = {"reranker/batch/ray.py": "what a driver and its own workers send each other, as Ray does; nothing of it is read from a file"}
MUTANTS = "benchmarks/mutants.py"
"""runs this project's own code, changed in one place"""
RUNS_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


@cache
def nodes() -> list[tuple[str, ast.Call | ast.Import | ast.ImportFrom]]:
    """Every call and import of the sources, with its file."""
    return [
        (str(path.relative_to(ROOT)), node)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call | ast.Import | ast.ImportFrom)
    ]


def calls() -> Iterator[tuple[str, str, dict[str, ast.expr]]]:
    for name, node in nodes():
        if isinstance(node, ast.Call):
            yield f"{name}:{node.lineno}", _dotted(node.func), {word.arg: word.value for word in node.keywords if word.arg}


def _dotted(node: ast.expr) -> str:
    """`a.b` of `a.b(…)`, what stands before it in short."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "…"


def constant(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def test_nothing_is_unpickled():
    found = set()
    for name, node in nodes():
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(one.partition(".")[0] in RUNS_CODE for one in names):
            found.add(name)
    assert found == PICKLED.keys()


def test_files_of_arrays_and_tensors_hold_no_objects():
    loads = [(where, words) for where, called, words in calls() if called in ("torch.load", "np.load", "numpy.load")]
    assert loads
    for where, words in loads:
        assert constant(words.get("weights_only")) is True or constant(words.get("allow_pickle")) is False, where


def test_no_code_of_a_model_is_run_and_no_text_is():
    for where, called, words in calls():
        assert "trust_remote_code" not in words or constant(words["trust_remote_code"]) is False, where
        assert where.startswith(MUTANTS) or called not in ("eval", "exec", "yaml.load", "yaml.unsafe_load", "os.system", "os.popen"), where
        assert constant(words.get("shell")) is not True, where
        assert constant(words.get("verify")) is not False, where


class Bomb:
    """A pickle that makes a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (str(self.mark),))


def test_weights_that_are_a_pickle_run_nothing(tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "model.safetensors").unlink()
    mark = tmp_path / "ran"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"model.embed_tokens.weight": Bomb(mark)}))
    with pytest.raises(ModelError, match="cannot load the weights"):
        open_scorer(str(folder), threads=1)
    torch.save({"model.embed_tokens.weight": Bomb(mark)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot load the weights"):
        open_scorer(str(folder), threads=1)
    assert not mark.exists()


def test_code_in_a_models_folder_is_not_run(tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    mark = tmp_path / "ran"
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nclass Config: pass\nclass Model: pass\nclass Tokenizer: pass\n")
    names = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    for file, more in (("config.json", names), ("tokenizer_config.json", {"AutoTokenizer": [None, "evil.Tokenizer"]})):
        told = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(told | {"auto_map": more}))
    with suppress(FirstrankError):
        load_model(str(folder))
    assert not mark.exists()


def test_a_chat_template_reaches_nothing_of_python(tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    mark = tmp_path / "ran"
    attack = "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ cycler.__init__.__globals__.os.mkdir('" + str(mark) + "') }}"
    (folder / "chat_template.jinja").write_text(attack)
    with pytest.raises(ModelError, match=r"chat template cannot be filled in: .* is unsafe"):
        load_model(str(folder))
    assert not mark.exists()


@pytest.mark.parametrize(
    "name", ["../prompts/first", "/etc/passwd", "..", ".", "", "a/b", "first/../first", "first\x00", "../../pyproject"]
)
def test_a_template_is_a_name_not_a_path(name):
    with pytest.raises(InputError, match="unknown; there are"):
        read_template(name)


@pytest.mark.parametrize("name", ["../models/default", "..", "../..", "./..", "a/..", "../a", "", "/etc", "default/../default", "a/b/c"])
def test_a_models_name_walks_nowhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path / "cache"))
    with pytest.raises(FirstrankError):
        load_model(name)
    assert not (tmp_path / "cache" / "models").exists() or not any((tmp_path / "cache" / "models").iterdir())


def test_a_hub_id_with_dots_is_refused_before_anything_is_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="no such name"):
        find_model("a/..")


def test_an_address_with_a_password_is_refused_and_not_shown():
    with pytest.raises(InputError, match="OPENAI_API_KEY") as refused:
        base_url("https://me:s3cret@example.org/v1")
    assert "s3cret" not in str(refused.value)
