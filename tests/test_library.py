"""The library as people import it: every name is there, is documented, and is listed in docs/library.md, whose examples run."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import firstrank
from firstrank import reranker

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/library.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
NAMES = [name for name in firstrank.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_what_its_module_defines_and_is_documented(name: str) -> None:
    found = getattr(firstrank, name)
    assert found is getattr(reranker, name)
    assert found is getattr(import_module(f"firstrank.reranker.{reranker._HOME[name]}"), name)
    if inspect.isclass(found) or inspect.isfunction(found):
        assert found.__module__ == f"firstrank.reranker.{reranker._HOME[name]}"
        assert found.__doc__
        assert not found.__doc__.startswith(f"{name}("), "a dataclass's own words"
    else:
        module = inspect.getsource(import_module(f"firstrank.reranker.{reranker._HOME[name]}"))
        assert re.search(rf'^{name} = .+\n"""', module, re.MULTILINE), "an alias without words below it"


def test_type_checkers_see_the_names_that_there_are() -> None:
    tree = ast.parse(inspect.getsource(reranker))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("firstrank.")]
    seen = {alias.name: str(node.module).removeprefix("firstrank.reranker.") for node in imports for alias in node.names}
    assert seen == reranker._HOME
    assert set(reranker.__all__) == {*seen, "__version__"}


def test_the_page_lists_the_names_that_there_are() -> None:
    listed = [name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]
    assert sorted(listed) == sorted(firstrank.__all__)


def test_what_there_is_can_be_asked_for() -> None:
    assert set(dir(firstrank)) == {*firstrank.__all__, "reranker", "server", "training", "eval"}
    assert dir(reranker) == reranker.__all__
    for package in (firstrank, reranker):
        with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nonesuch'"):
            _ = package.nonesuch


def test_the_version_is_the_package_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert firstrank.__version__ == reranker.__version__ == project["version"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.splitlines()[-1].strip()[:40])
def test_an_example_of_the_page_runs(example: str, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(example.replace('"default"', repr(str(tiny_model))), "docs/library.md", "exec"), {"__name__": "example"})
    assert capsys.readouterr().out


WITHOUT_LOCKS = """
import sys
sys.modules["fcntl"] = None
import firstrank
from firstrank.reranker.batch.job import Job
from firstrank.reranker.batch.journal import open_journal
names = [getattr(firstrank, name) for name in firstrank.__all__]
with firstrank.Reranker(firstrank.OracleScorer({"": {"1": 1}})) as reranker:
    print(reranker.rank("who wrote Emma?", ["Bees make honey.", "Jane Austen wrote Emma."])[0].docid)
"""


def test_the_library_can_be_imported_and_ranks_where_there_is_no_fcntl() -> None:
    """As on Windows."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_LOCKS], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr
