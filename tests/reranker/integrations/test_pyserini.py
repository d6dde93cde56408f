"""The stage in pyserini's own pipelines, over real Lucene indexes (make test-pyserini)."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reranker.errors import InputError, MachineError
from reranker.integrations import jvm
from reranker.integrations.lucene import LuceneTexts, open_searcher
from reranker.integrations.pyserini import Hit, Rerank, write_hits
from reranker.reranker import Reranker
from reranker.runs import Query, read_run
from reranker.texts import open_texts, read_passages
from tests.reranker.integrations.conftest import beir, build, ms_marco

pytestmark = pytest.mark.pyserini

DEPTH, TAIL = 25, 15
Queries = Callable[[str, int], list[Query]]


@pytest.fixture(scope="module")
def reranker(tiny_model: Path) -> Iterator[Reranker]:
    with Reranker(str(tiny_model), threads=1) as reranker:
        yield reranker


@pytest.fixture(scope="module")
def cranfield(cranfield_index: Path) -> Any:
    return open_searcher(cranfield_index)


def as_written(run: Path) -> dict[str, list[tuple[str, float]]]:
    return {qid: list(zip(ranked.docids, ranked.scores.tolist(), strict=True)) for qid, ranked in read_run(run).items()}


def as_found(hits: dict[str, list[Hit]]) -> dict[str, list[tuple[str, float]]]:
    return {qid: [(hit.docid, hit.score) for hit in found] for qid, found in hits.items()}


@pytest.mark.parametrize("name", ["cranfield", "scifact"])
@pytest.mark.usefixtures("cache")
def test_the_stage_equals_the_command_line_score_for_score(
    name: str,
    request: pytest.FixtureRequest,
    data: Path,
    tmp_path: Path,
    tiny_model: Path,
    reranker: Reranker,
    some_queries: Queries,
    firstrank: Any,
) -> None:
    """pyserini's candidates, reranked by `firstrank rerank` from the corpus's files and from the index, and by the stage."""
    index = request.getfixturevalue(f"{name}_index")
    queries = some_queries(name, 12)
    wanted = tmp_path / "queries.jsonl"
    wanted.write_text("".join(json.dumps({"_id": query.qid, "text": query.text}) + "\n" for query in queries))
    firstrank("retrieve", "--retriever", f"pyserini:{index}", "--queries", wanted, "--depth", DEPTH + TAIL, "--output", tmp_path / "first")
    given = ["--run", tmp_path / "first", "--queries", wanted, "--depth", DEPTH, "--model", tiny_model, "--threads", 1]
    firstrank("rerank", *given, "--corpus", f"lucene:{index}", "--output", tmp_path / "from-index")

    pipeline = open_searcher(index) | Rerank(reranker, depth=DEPTH)
    hits = pipeline.batch_search([query.text for query in queries], [query.qid for query in queries], k=DEPTH + TAIL, threads=2)
    write_hits(tmp_path / "from-stage", hits)
    assert as_found(hits) == as_written(tmp_path / "from-index")
    assert (tmp_path / "from-stage").read_bytes() == (tmp_path / "from-index").read_bytes()
    assert any(
        [hit.docid for hit in found] != sorted((hit.docid for hit in found), key=lambda d: -hits_score(found, d)) for found in hits.values()
    )

    if name == "cranfield":  # this index keeps title and text apart, as the files do
        firstrank("rerank", *given, "--corpus", data / name, "--output", tmp_path / "from-files")
        assert (tmp_path / "from-files").read_bytes() == (tmp_path / "from-index").read_bytes()


def hits_score(found: list[Hit], docid: str) -> float:
    """The first stage's score."""
    return float(next(hit.first.score for hit in found if hit.docid == docid))
