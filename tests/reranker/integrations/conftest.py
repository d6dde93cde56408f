"""What the adapters are tested with: a Reranker, small real collections as Lucene indexes, the command line in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from firstrank.reranker.reranker import Reranker
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.queries import Query, read_queries
from firstrank.reranker.texts.sources import read_passages
from firstrank.reranker.types import Passage
from tests.reranker.integrations.candidates import QUERY, TEXTS

Layout = Callable[[Passage], dict[str, Any]]


def beir(passage: Passage) -> dict[str, Any]:
    """How pyserini's BEIR indexes keep a passage; Anserini searches `contents`, so that is there too."""
    return {"id": passage.docid, "title": passage.title, "text": passage.text, "contents": f"{passage.title} {passage.text}"}


def ms_marco(passage: Passage) -> dict[str, Any]:
    return {"id": passage.docid, "contents": f"{passage.title} {passage.text}".strip()}


def build(folder: Path, passages: Iterator[Passage], layout: Layout, *options: str) -> Path:
    """A Lucene index, built by pyserini. Lucene leaves empty documents out."""
    from firstrank.reranker.texts import jvm

    indexer = jvm.pyserini("pyserini.index.lucene").LuceneIndexer(args=["-index", str(folder), *options], threads=1)
    for passage in passages:
        if f"{passage.title}{passage.text}".strip():
            indexer.add_doc_raw(json.dumps(layout(passage)))
    indexer.close()
    return folder


@pytest.fixture(scope="session")
def reranker(tiny_model: Path) -> Iterator[Reranker]:
    with Reranker(str(tiny_model), threads=1, window=4, stride=2) as reranker:
        yield reranker


@pytest.fixture(scope="session")
def order(reranker: Reranker) -> list[int]:
    """The places of TEXTS, best first, as the Reranker alone ranks them."""
    order = [result.index for result in reranker.rank(QUERY, TEXTS)]
    assert order != sorted(order)
    return order


@pytest.fixture(scope="session")
def scores(reranker: Reranker) -> list[float]:
    return [result.score for result in reranker.rank(QUERY, TEXTS)]


@pytest.fixture(scope="session")
def cranfield_index(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("cranfield"), read_passages(data / "cranfield"), beir, "-storeRaw")


@pytest.fixture(scope="session")
def scifact_index(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("scifact"), read_passages(data / "scifact"), ms_marco, "-storeRaw")


@pytest.fixture(scope="session")
def some_queries(data: Path) -> Callable[[str, int], list[Query]]:
    """The first judged queries of a collection."""

    def first(name: str, n: int) -> list[Query]:
        judged = read_qrels(data / name)
        return [query for query in read_queries(data / name) if query.qid in judged][:n]

    return first


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def firstrank() -> Callable[..., None]:
    """The command line, in this process: `firstrank("rerank", "--run", path …)`; errors are raised."""
    from firstrank.reranker.cli import app

    def run(*arguments: object) -> None:
        app([str(argument) for argument in arguments], standalone_mode=False)

    return run
