"""What is wrong with a corpus is said with its line, before a model is loaded."""

from __future__ import annotations

import json

import pytest

from firstrank.reranker.errors import FormatError, InputError
from firstrank.reranker.retrievers.register import open_retriever
from firstrank.reranker.texts.sources import read_passages

FAULTS = [
    ([("a", "x"), ("b", "y"), ("a", "z")], 3, "docid 'a' comes twice in the corpus (first on line 1)"),
    ([("7", "x"), (7, "y")], 2, "docid '7' comes twice in the corpus (first on line 1)"),
    ([("a", "x"), ("b c", "y")], 2, "the id 'b c' holds white space"),
    ([("a", "x"), ("b", 3)], 2, "'text' must be a string"),
]


@pytest.mark.parametrize("retriever", ["bm25", "rm3", "dense:minilm", "sparse:splade-tiny", "hybrid:minilm"])
@pytest.mark.parametrize(("rows", "line", "problem"), FAULTS)
def test_a_faulty_corpus_is_named_with_its_line_and_no_encoder_is_loaded(tmp_path, monkeypatch, retriever, rows, line, problem):
    monkeypatch.setattr("firstrank.reranker.retrievers.dense.open_encoder", None)
    monkeypatch.setattr("firstrank.reranker.retrievers.sparse.open_sparse", None)
    file = tmp_path / "corpus.jsonl"
    file.write_text("".join(json.dumps({"_id": docid, "text": text}) + "\n" for docid, text in rows))
    for source in (file, tmp_path):
        with pytest.raises(FormatError) as refused:
            open_retriever(retriever, source)
        assert (refused.value.path, refused.value.line) == (str(file), line)
        assert problem in refused.value.problem


def test_a_dataset_s_docids_are_looked_at_too(monkeypatch):
    from firstrank.reranker.types import Passage

    monkeypatch.setattr("firstrank.reranker.runs.irds.passages", lambda source: iter([Passage("a", "x"), Passage("a", "y")]))
    with pytest.raises(InputError, match=r"^ir_datasets:some: docid 'a' comes twice in the corpus$"):
        list(read_passages("ir_datasets:some"))
