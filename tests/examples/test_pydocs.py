"""The shipped collection: one collection on every supported interpreter, judged by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from firstrank.reranker.measures import compare
from firstrank.reranker.retrievers.bm25 import BM25
from firstrank.reranker.runs.qrels import Qrels, read_qrels
from firstrank.reranker.runs.queries import read_queries
from firstrank.reranker.runs.trec import Run
from firstrank.reranker.texts.sources import read_passages

PYDOCS = Path(__file__).parents[2] / "examples/pydocs"
SIDE_EFFECTS = {"antigravity", "idlelib", "lib2to3", "test", "this", "tkinter", "turtle", "turtledemo"}


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = spec_from_file_location("pydocs_build", PYDOCS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(build: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pydocs")
    build.write(made)
    return made


@pytest.fixture(scope="module")
def qrels(folder: Path) -> Qrels:
    return read_qrels(folder)


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(PYDOCS / "build.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=600)


def test_the_folder_is_read_by_the_projects_own_readers(build: ModuleType, folder: Path) -> None:
    passages = list(read_passages(folder))
    assert [passage.docid for passage in passages] == [entry.docid for entry in build.entries(build.manifest())[0]]
    assert all(passage.title == passage.docid for passage in passages)
    assert all(passage.text.strip() for passage in passages)
    [join] = [passage for passage in passages if passage.docid == "os.path.join"]
    assert join.text.startswith("Join two or more pathname components")


def test_docids_are_unique_sorted_and_public(build: ModuleType) -> None:
    docids = build.manifest()
    assert docids == sorted(set(docids))
    assert [docid for docid in docids if any(part.startswith("_") for part in docid.split("."))] == []
    assert len(docids) > 4500


def test_this_interpreter_has_nearly_all_of_them(build: ModuleType) -> None:
    """3.12 lacks 23, 3.13 lacks 26, early releases of 3.11 a handful; another platform a few dozen system calls."""
    found, lacking = build.entries(build.manifest())
    assert len(found) + len(lacking) == len(build.manifest())
    assert len(lacking) < 0.05 * len(build.manifest())


def test_every_relevant_entry_is_there_and_every_judged_one_is_there_or_reported(build: ModuleType, qrels: Qrels) -> None:
    found, lacking = build.entries(build.manifest())
    there = {entry.docid for entry in found}
    judged = {docid: grade for grades in qrels.values() for docid, grade in sorted(grades.items(), key=lambda item: item[1])}
    assert [docid for docid in judged if docid not in there and docid not in lacking] == []
    assert [docid for docid, grade in judged.items() if grade and docid not in there] == []


def test_no_two_entries_say_the_same(build: ModuleType) -> None:
    """On the version that the list was made on, 3.11; others may have merged a few docstrings since."""
    texts = Counter(entry.text for entry in build.entries(build.manifest())[0])
    twice = sum(count - 1 for count in texts.values())
    assert twice == 0 if sys.version_info[:2] == (3, 11) else twice < 20


def test_the_list_is_what_the_walk_gives(build: ModuleType) -> None:
    """Up to what a release or a platform adds and lacks."""
    walked, listed = set(build.public_ids()), set(build.manifest())
    assert len(walked ^ listed) < 0.08 * len(listed)


def test_queries_and_judgments(folder: Path, qrels: Qrels) -> None:
    queries = list(read_queries(folder))
    assert len(queries) == 100
    assert [query.qid for query in queries] == list(qrels)
    assert len({query.text for query in queries}) == 100
    grades = Counter(grade for judged in qrels.values() for grade in judged.values())
    assert set(grades) == {0, 1, 2, 3}
    assert all(max(judged.values()) == 3 for judged in qrels.values())
    assert all(0 in judged.values() for judged in qrels.values())
    assert sum(sum(grade >= 2 for grade in judged.values()) > 1 for judged in qrels.values()) >= 75


def test_bm25_has_all_of_its_first_twenty_judged_and_leaves_room(folder: Path, qrels: Qrels) -> None:
    """The figures for 3.11 stand in the README: nDCG@10 = 0.395; other versions differ in the third decimal."""
    run = Run(BM25(read_passages(folder)).search(read_queries(folder), 20))
    unjudged = sum(docid not in qrels[qid] for qid, ranked in run.items() for docid in ranked.docids)
    assert unjudged <= 0.02 * 20 * 100
    assert compare({"bm25": run}, qrels)["nDCG@10"]["bm25"] == pytest.approx(0.395, abs=0.01)


def test_building_is_silent_and_repeatable(tmp_path: Path) -> None:
    """Whatever the hash seed, in a bare environment, with every warning an error."""
    for name in ("one", "two"):
        done = run(str(tmp_path / name), PYTHONHASHSEED=str(len(name) + ord(name[0])))
        assert (done.returncode, done.stdout) == (0, "")
        assert f"{tmp_path / name}: " in done.stderr
        assert len(done.stderr.splitlines()) <= 2
    for file in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_nothing_that_prints_or_opens_windows_is_imported(build: ModuleType) -> None:
    assert not SIDE_EFFECTS & {module.partition(".")[0] for module in build.MODULES}
    code = f"import sys; sys.path.insert(0, {str(PYDOCS)!r}); import build; build.public_ids(); print(*{SIDE_EFFECTS!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_lacking_names_are_reported_and_left_out(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "manifest", lambda: ["math.gcd", "math.no_such_name", "string.ascii_letters", "sys.no.such.name"])
    build.main([str(tmp_path)])
    assert [json.loads(line)["_id"] for line in (tmp_path / "corpus.jsonl").read_text().splitlines()] == ["math.gcd"]
    assert "3 names that this interpreter lacks: math.no_such_name, string.ascii_letters, sys.no.such.name" in capsys.readouterr().err


def test_without_docstrings_it_says_so(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-OO", str(PYDOCS / "build.py"), str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "docstrings are stripped under -OO: run it without\n")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(str(tmp_path / "file/pydocs"))
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path / 'file/pydocs/qrels'}: cannot be written: Not a directory\n"


@pytest.mark.parametrize("arguments", [[], ["--no-such"], ["a", "b"]])
def test_wrong_usage_is_a_sentence(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode != 0
    assert done.stderr == "usage: build.py DIR | --ids\n"
