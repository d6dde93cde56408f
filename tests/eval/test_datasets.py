"""Datasets: folders and ir_datasets ids, and what of a run counts."""

from __future__ import annotations

import numpy as np
import pytest

from firstrank.eval.datasets import open_dataset
from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.trec import Ranked, Run
from tests.eval import collection


@pytest.fixture
def dataset(tmp_path):
    return open_dataset(str(collection.make(tmp_path / "small")))


def run_of(**lists):
    return Run(Ranked(qid, tuple(docids), np.arange(len(docids), 0, -1, dtype=np.float32)) for qid, docids in lists.items())


def test_a_folder(dataset):
    assert (dataset.name, dataset.split, len(dataset.qrels)) == ("small", "test", collection.QUERIES)
    assert dataset.queries["q1"].startswith("what is number 1?")
    texts = dataset.texts(lambda: ["d1", "nowhere"])
    assert list(texts.get(["d1", "nowhere"])) == ["d1"]
    texts.close()


def test_only_judged_queries_count(dataset):
    kept = dataset.judged(run_of(q1=["d1"], unjudged=["d2"]))
    assert list(kept) == ["q1"]


def test_a_query_that_is_its_own_document_is_dropped_when_told(dataset):
    run = run_of(q1=["q1", "d1"])
    assert dataset.judged(run, drop_self=True)["q1"].docids == ("d1",)
    assert dataset.judged(run)["q1"].docids == ("q1", "d1")


def test_a_judged_query_without_text_is_refused(tmp_path):
    folder = collection.make(tmp_path)
    queries = (folder / "queries.jsonl").read_text().splitlines(keepends=True)
    (folder / "queries.jsonl").write_text("".join(queries[1:]))
    with pytest.raises(InputError, match="1 judged queries have no text, the first of them 'q0'"):
        open_dataset(str(folder))


def test_ir_datasets_ids_are_read_through_their_registry(monkeypatch):
    import ir_datasets
    from ir_datasets.formats import GenericQuery, TrecQrel

    class Registered:
        def has_queries(self):
            return True

        has_qrels = has_docs = has_queries

        def queries_iter(self):
            return iter([GenericQuery("q1", "a question"), GenericQuery("q2", "not judged")])

        def qrels_iter(self):
            return iter([TrecQrel("q1", "d1", 2, "0")])

    monkeypatch.setitem(ir_datasets.registry._registered, "firstrank-test", Registered())
    dataset = open_dataset("ir_datasets:firstrank-test")
    assert dataset.queries == {"q1": "a question"}
    assert dataset.qrels == {"q1": {"d1": 2}}


def test_an_unknown_id_is_named():
    with pytest.raises(InputError, match="knows no dataset of this name"):
        open_dataset("ir_datasets:no/such")
