"""The learned sparse first stage."""

from __future__ import annotations

import json

import numpy as np
import pytest

from firstrank.reranker.encoders.register import open_sparse
from firstrank.reranker.encoders.sparse import SparseEncoder
from firstrank.reranker.errors import InputError, MachineError
from firstrank.reranker.retrievers.register import open_retriever
from firstrank.reranker.runs.queries import Query

TEXTS = {
    "a": "Jane Austen wrote the novel Emma.",
    "b": "Bees make honey.",
    "c": "Emma is a given name.",
    "d": "The sea is blue.",
    "e": "Jane Austen wrote the novel Emma.",
}


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    open_sparse("splade-tiny")  # fetched into the tests' own cache, before it moves
    monkeypatch.setenv("FIRSTRANK_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "corpus.jsonl"
    file.write_text("".join(json.dumps({"_id": docid, "text": text}) + "\n" for docid, text in TEXTS.items()))
    return file


def test_it_finds_what_scoring_every_passage_finds(corpus):
    encoder = open_sparse("splade-tiny")
    query = "who wrote Emma?"
    scores = encoder.scores(encoder.words(query), list(TEXTS.values()))
    [ranked] = open_retriever("sparse:splade-tiny", corpus).search([Query("q", query)], 3)
    assert ranked.docids[:2] == ("e", "a")  # ties by docid, descending, as trec_eval breaks them
    np.testing.assert_allclose(ranked.scores, np.sort(scores)[::-1][:3], rtol=1e-5)


def test_a_corpus_is_encoded_once(corpus, monkeypatch):
    first = list(open_retriever("sparse:splade-tiny", corpus).search([Query("q", "honey")], 5))
    encoded = []
    matrix = SparseEncoder.matrix
    monkeypatch.setattr(SparseEncoder, "matrix", lambda self, texts: encoded.append(len(texts)) or matrix(self, texts))
    again = list(open_retriever("sparse:splade-tiny", corpus).search([Query("q", "honey")], 5))
    assert encoded == [1]
    assert again[0].docids == first[0].docids
    with corpus.open("a") as file:
        file.write(json.dumps({"_id": "f", "text": "honey"}) + "\n")
    list(open_retriever("sparse:splade-tiny", corpus).search([Query("q", "honey")], 5))
    assert encoded == [1, 6, 1]


def test_half_an_index_is_made_anew(corpus):
    open_retriever("sparse:splade-tiny", corpus)
    [index] = (corpus.parent / "cache" / "indexes").iterdir()
    (index / "passages.npz").write_bytes(b"PK")
    [ranked] = open_retriever("sparse:splade-tiny", corpus).search([Query("q", "bees")], 1)
    assert ranked.docids == ("b",)


def test_an_empty_corpus_and_a_cache_that_cannot_be_written_are_sentences(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("FIRSTRANK_CACHE", str(corpus))
    with pytest.raises(MachineError, match="set FIRSTRANK_CACHE"):
        open_retriever("sparse:splade-tiny", corpus)
    with pytest.raises(InputError, match="no first stage is called 'sparse'"):
        open_retriever("sparse", corpus)
