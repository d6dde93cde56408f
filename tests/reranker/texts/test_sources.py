"""Texts by docid: gathered once, read by query, whole whatever happens."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firstrank.reranker.errors import FormatError, InputError, MachineError
from firstrank.reranker.retrievers.register import open_retriever
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.queries import read_queries
from firstrank.reranker.runs.trec import read_run
from firstrank.reranker.texts.sources import corpus_file, open_texts, passages, read_passages
from firstrank.reranker.types import Passage

CORPUS = [
    {"_id": "a", "title": "Alpha", "text": "first\ntext"},
    {"_id": "b", "text": "zweiter \u00e4 \U0001f600 \x00 text"},
    {"_id": "empty", "title": "", "text": ""},
    {"_id": 4, "title": None, "contents": "fourth"},
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "texts"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "corpus.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in CORPUS))
    return file


def test_passages_come_by_docid_title_apart(corpus: Path) -> None:
    texts = open_texts(corpus, lambda: ["4", "b", "a", "b"])
    assert passages(texts, ["b", "4", "a"]) == (
        Passage("b", "zweiter \u00e4 \U0001f600 \x00 text"),
        Passage("4", "fourth"),
        Passage("a", "first\ntext", "Alpha"),
    )
    assert texts.get(["empty"]) == {}  # nobody asked for it at first


@pytest.mark.parametrize("name", ["corpus.jsonl.gz", "corpus.tsv", "corpus.tsv.gz", "folder"])
def test_each_form_of_corpus_reads_the_same(tmp_path: Path, name: str) -> None:
    rows = [("a", "first text", "Alpha"), ("b", "second text", "")]
    source = tmp_path / name
    if name == "folder":
        source.mkdir()
        source = source / "corpus.jsonl.gz"
    if "tsv" in name:
        data = "docid\ttext\ttitle\n" + "".join("\t".join(row) + "\n" for row in rows)
    else:
        data = "".join(json.dumps({"_id": docid, "text": text, "title": title}) + "\n" for docid, text, title in rows)
    source.write_bytes(gzip.compress(data.encode()) if source.suffix == ".gz" else data.encode())
    texts = open_texts(tmp_path / name, lambda: ["a", "b"])
    assert passages(texts, ["a", "b"]) == tuple(Passage(*row) for row in rows) == tuple(read_passages(tmp_path / name))


def test_a_corpus_may_be_inline() -> None:
    assert list(read_passages('{"id": 1, "text": "one"}\n{"docid": "2", "body": "two"}\n')) == [Passage("1", "one"), Passage("2", "two")]
    assert list(read_passages("1\tone\n2\ttwo\n")) == [Passage("1", "one"), Passage("2", "two")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not valid JSON"),
        ('{"text": "no id"}', "no id"),
        ('{"_id": "x"}', "no text"),
        ('{"_id": "x", "text": 3}', "'text' must be a string, not int"),
        ('{"_id": null, "text": "x"}', "'_id' must be"),
        ('{"_id": "a", "text": "again"}', "docid 'a' comes twice"),
    ],
)
def test_a_malformed_line_is_named_and_nothing_kept(corpus: Path, cache: Path, line: str, problem: str) -> None:
    corpus.write_text(corpus.read_text() + line + "\n")
    with pytest.raises(FormatError, match=problem) as caught:
        open_texts(corpus, lambda: ["a"])
    assert (caught.value.path, caught.value.line) == (str(corpus), 5)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("line", ["alone", "a\tb\tc\td", "\ttext"])
def test_a_malformed_tsv_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "corpus.tsv").write_text(f"1\tone\n{line}\n")
    with pytest.raises(FormatError, match=r"corpus\.tsv:2: .*docid<TAB>text"):
        list(read_passages(tmp_path / "corpus.tsv"))


def test_an_empty_corpus_is_an_error(tmp_path: Path) -> None:
    for content in ("", "docid\ttext\n"):
        (tmp_path / "corpus.tsv").write_text(content)
        with pytest.raises(FormatError, match=r"corpus\.tsv:1: no passages"):
            open_texts(tmp_path, lambda: ["a"])


def test_wrong_encoding_names_the_line(corpus: Path) -> None:
    corpus.write_bytes(corpus.read_bytes() + '{"_id": "x", "text": "café"}\n'.encode("latin-1"))
    with pytest.raises(FormatError, match=":5: wrong encoding"):
        open_texts(corpus, lambda: ["a"])


def test_docids_without_text_are_counted_and_named(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    wanted = ["a", "x1", "x2", "x1", "b", *(f"y{i}" for i in range(1500))]
    for _ in range(2):  # freshly built, then from the cache
        with pytest.raises(InputError, match=r"1,502 passages are not there.*\(x1, x2, y0, y1, y2, …\).*--missing skip"):
            open_texts(corpus, lambda: wanted)
    texts = open_texts(corpus, lambda: wanted, missing="skip")
    assert "1,502 passages are not there" in caplog.text
    assert [passage.docid for passage in passages(texts, ["x1", "b", "y3", "a"])] == ["b", "a"]
    with pytest.raises(InputError, match=r"1 passage is not there.*\(x\)"):
        open_texts(corpus, lambda: ["x"])


def test_empty_passages_are_warned_of_each_time(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        caplog.clear()
        texts = open_texts(corpus, lambda: ["a", "empty"])
        assert "1 passage is empty: ranked like any other (empty)" in caplog.text
        assert texts.get(["empty"]) == {"empty": Passage("empty", "")}


def test_sources_that_are_none(tmp_path: Path) -> None:
    for source, problem in [
        (tmp_path / "none.jsonl", "no such file"),
        (tmp_path, r"no corpus\.jsonl"),
        ("ir_datasets:no-such-set", "knows no dataset"),
    ]:
        with pytest.raises(InputError, match=problem):
            open_texts(source, lambda: ["a"])
    (tmp_path / "segments_1").write_text("")
    with pytest.raises(InputError, match="write lucene:"):
        corpus_file(tmp_path)
    with pytest.raises(InputError, match="--retriever pyserini:some/index"):
        list(read_passages("lucene:some/index"))


def test_a_store_is_reused_until_corpus_or_wanted_docids_change(corpus: Path, cache: Path) -> None:
    open_texts(corpus, lambda: ["a"])
    [store] = cache.iterdir()
    made = store.stat().st_ino
    open_texts(corpus, lambda: ["a"])
    assert [file.stat().st_ino for file in cache.iterdir()] == [made]
    open_texts(corpus, lambda: ["b"])
    assert len(list(cache.iterdir())) == 2
    corpus.write_text(corpus.read_text().replace("first", "other"))
    os.utime(corpus, ns=(1, 1))
    assert passages(open_texts(corpus, lambda: ["a"]), ["a"])[0].text == "other\ntext"


def test_a_damaged_store_is_built_again(corpus: Path, cache: Path) -> None:
    open_texts(corpus, lambda: ["a"]).close()
    [store] = cache.iterdir()
    for damage in (b"", b"not a database" * 100, store.read_bytes()[:4096]):
        store.write_bytes(damage)
        assert passages(open_texts(corpus, lambda: ["a"]), ["a"])[0].title == "Alpha"


def test_stale_stores_and_parts_are_cleared(corpus: Path, cache: Path) -> None:
    cache.mkdir(parents=True)
    for name, age_days in [("old.sqlite", 31), ("new.sqlite", 29), ("a.part", 2), ("b.part", 0)]:
        (cache / name).write_text("")
        os.utime(cache / name, times=(0, time.time() - age_days * 86400))
    open_texts(corpus, lambda: ["a"])
    assert {"new.sqlite", "b.part"} <= {file.name for file in cache.iterdir()}
    assert not {"old.sqlite", "a.part"} & {file.name for file in cache.iterdir()}


def test_texts_travel_to_another_process_as_a_path(corpus: Path) -> None:
    texts = open_texts(corpus, lambda: ["a"])
    assert pickle.loads(pickle.dumps(texts)).get(["a"]) == texts.get(["a"])


BUILD = """
import sys
from firstrank.reranker.texts.sources import open_texts, passages
texts = open_texts(sys.argv[1], lambda: map(str, range(0, 60_000, 2)))
print(sum(len(passage.text) for i in range(0, 60_000, 200) for passage in passages(texts, [str(j) for j in range(i, i + 200, 2)])))
"""


@pytest.fixture
def large(tmp_path: Path) -> Path:
    file = tmp_path / "large.tsv"
    file.write_text("".join(f"{i}\t{'text ' * (i % 50)}{i}\n" for i in range(60_000)))
    return file


def builder(file: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", BUILD, str(file)], stdout=subprocess.PIPE, text=True)


def test_two_processes_may_build_at_once(large: Path, cache: Path) -> None:
    both = [builder(large), builder(large)]
    answers = [process.communicate()[0] for process in both]
    assert answers[0] == answers[1] != ""
    assert len(list(cache.iterdir())) == 1


def test_a_build_killed_midway_is_done_again(large: Path, cache: Path) -> None:
    process = builder(large)
    while not (cache.is_dir() and any(part.stat().st_size > 100_000 for part in cache.glob("*.part"))):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list(cache.glob("*.sqlite"))
    again, whole = builder(large).communicate()[0], builder(large).communicate()[0]
    assert again == whole != ""


def test_a_full_disk_is_named_and_leaves_nothing(large: Path, cache: Path) -> None:
    limit = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
    done = subprocess.run([sys.executable, "-c", limit + BUILD, str(large)], capture_output=True, text=True, check=False)
    assert f"MachineError: {cache}" in done.stderr
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_a_fault_of_the_machine(corpus: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FIRSTRANK_CACHE", str(corpus))
    with pytest.raises(MachineError, match="FIRSTRANK_CACHE names another place"):
        open_texts(corpus, lambda: ["a"])


def test_a_real_corpus_gives_every_text_of_its_run(data: Path) -> None:
    run = read_run(data / "msmarco-v1-dl19" / "runs" / "bm25.trec.gz")
    texts = open_texts(data / "msmarco-v1-dl19", run.docids)
    for ranked in run.values():
        assert tuple(passage.docid for passage in passages(texts, ranked.docids)) == ranked.docids
    with pytest.raises(InputError, match="is this the run's corpus"):
        open_texts(data / "scifact", run.docids)


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[str]:
    """A small dataset in ir_datasets' own registry, read by ir_datasets' own parsers."""
    import ir_datasets
    from ir_datasets.datasets.base import Dataset
    from ir_datasets.formats import TrecQrels, TsvDocs, TsvQueries
    from ir_datasets.util import LocalDownload

    (tmp_path / "docs.tsv").write_text("d1\tthe apple tree\nd2\tthe pear tree\nd3\t\n")
    (tmp_path / "queries.tsv").write_text("q1\tpear trees\nq2\tapples\n")
    (tmp_path / "qrels").write_text("q1 0 d2 2\nq2 0 d1 1\n")
    name = "firstrank-test"
    parts = (
        TsvDocs(LocalDownload(tmp_path / "docs.tsv"), namespace=name, lang="en"),
        TsvQueries(LocalDownload(tmp_path / "queries.tsv"), lang="en"),
        TrecQrels(LocalDownload(tmp_path / "qrels"), {}),
    )
    ir_datasets.registry.register(name, Dataset(*parts))
    yield f"ir_datasets:{name}"
    del ir_datasets.registry._registered[name]


def test_an_ir_datasets_id_serves_as_queries_qrels_and_corpus(dataset: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert [tuple(query) for query in read_queries(dataset)] == [("q1", "pear trees"), ("q2", "apples")]
    assert read_qrels(dataset) == {"q1": {"d2": 2}, "q2": {"d1": 1}}
    texts = open_texts(dataset, lambda: ["d2", "d3"])
    assert "1 passage is empty" in caplog.text
    assert passages(texts, ["d2", "d1"]) == (Passage("d2", "the pear tree"), Passage("d1", "the apple tree"))
    assert pickle.loads(pickle.dumps(texts)).get(["d2"]) == texts.get(["d2"])
    with pytest.raises(InputError, match=r"2 passages are not there.*\(d8, d9\)"):
        open_texts(dataset, lambda: ["d1", "d8", "d9", "d8"])
    found = list(open_retriever("bm25", dataset).search(read_queries(dataset), 10))
    assert [ranked.docids for ranked in found] == [("d2", "d1"), ("d1",)]
    (tmp_path / "queries.tsv").unlink()
    with pytest.raises(MachineError, match=f"{dataset}: ir_datasets could not get its files"):
        list(read_queries(dataset))
