"""The BM25 first stage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pytrec_eval

from firstrank.reranker.errors import InputError
from firstrank.reranker.retrievers.bm25 import BM25
from firstrank.reranker.retrievers.register import open_retriever, retrieve
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.queries import Query, read_queries
from firstrank.reranker.runs.trec import Ranked
from firstrank.reranker.types import Passage

PASSAGES = [
    Passage("d1", "a pear tree in the garden"),
    Passage("d2", "trees and pears and more pears", title="Orchard"),
    Passage("d3", "nothing of the kind"),
    Passage("d4", "a pear tree in the garden"),
    Passage("d5", ""),
]


def docids(query: str, depth: int = 10) -> tuple[str, ...]:
    [ranked] = BM25(PASSAGES).search([Query("q", query)], depth)
    return ranked.docids


def test_words_are_stemmed_and_only_matching_passages_come() -> None:
    assert set(docids("Pears")) == {"d1", "d2", "d4"}
    assert docids("orchards") == ("d2",)
    assert docids("the") == docids("unheard") == docids("") == docids("?!") == ()


def test_ties_go_by_docid_descending_also_at_the_cut() -> None:
    assert docids("garden") == ("d4", "d1")
    assert docids("garden", depth=1) == ("d4",)


def test_scores_are_those_of_the_formula() -> None:
    """Lucene's BM25 by hand: idf = ln(1 + (N - n + .5) / (n + .5)), tf / (tf + k1 (1 - b + b l / mean l))."""
    [ranked] = BM25(PASSAGES).search([Query("q", "garden garden")], 10)
    lengths = [3, 5, 2, 3, 1]  # words less stop words; an empty passage counts one
    idf = np.log(1 + (5 - 2 + 0.5) / (2 + 0.5))
    expected = 2 * idf / (1 + 1.5 * (1 - 0.75 + 0.75 * 3 / np.mean(lengths)))
    assert ranked.scores[0] == pytest.approx(expected, rel=1e-6)


def test_a_query_that_is_a_document_can_be_left_out() -> None:
    retriever = BM25(PASSAGES)
    queries = [Query("d4", "garden pear"), Query("q", "garden pear")]
    assert [ranked.docids for ranked in retrieve(retriever, queries, 1, drop_self=True)] == [("d1",), ("d4",)]
    assert [ranked.docids for ranked in retrieve(retriever, queries, 1)] == [("d4",), ("d4",)]
    with pytest.raises(InputError, match="depth 0"):
        list(retrieve(retriever, queries, 0))


def test_what_cannot_be_indexed() -> None:
    with pytest.raises(InputError, match="no passage"):
        BM25([])
    with pytest.raises(InputError, match="twice"):
        BM25([Passage("a", "x"), Passage("a", "y")])
    [ranked] = BM25([Passage("a", ""), Passage("b", "?")]).search([Query("q", "word")], 3)
    assert ranked == Ranked("q", (), ranked.scores)


@pytest.mark.parametrize("name", ["bm26", "bm25:x", "bm25:", "dense", "dense:", "pyserini", ""])
def test_an_unknown_first_stage_is_an_error_that_lists_them(name: str) -> None:
    with pytest.raises(InputError, match="there are bm25, rm3, dense:MODEL, sparse:MODEL, hybrid:MODEL, pyserini:INDEX"):
        open_retriever(name, "corpus.jsonl")


def test_a_run_is_the_same_in_another_process(tmp_path: Path) -> None:
    """Python's hashes differ between processes; scores must not."""
    (tmp_path / "corpus.tsv").write_text("".join(f"d{i}\tword{i % 7} word{i % 11} other{i % 3} tree garden\n" for i in range(500)))
    script = (
        "import sys; from firstrank.reranker.retrievers.register import open_retriever; from firstrank.reranker.runs.queries import Query\n"
        "for r in open_retriever('bm25', sys.argv[1]).search([Query('q', 'word3 word5 other1 garden')], 50):\n"
        "    print(r.docids, r.scores.tobytes())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "corpus.tsv")],
            capture_output=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize(("collection", "least"), [("scifact", 0.66), ("nfcorpus", 0.31)])
def test_ndcg_on_real_collections(data: Path, collection: str, least: float) -> None:
    qrels = read_qrels(data / collection)
    queries = [query for query in read_queries(data / collection) if query.qid in qrels]
    run = {
        r.qid: dict(zip(r.docids, r.scores.tolist(), strict=True)) for r in open_retriever("bm25", data / collection).search(queries, 100)
    }
    measured = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10"}).evaluate(run)
    assert sum(query["ndcg_cut_10"] for query in measured.values()) / len(qrels) >= least
