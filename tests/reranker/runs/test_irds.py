"""What is read of an ir_datasets dataset: queries, judgments, and passages with their titles apart."""

from __future__ import annotations

import pickle
from collections import namedtuple
from types import SimpleNamespace

import pytest

from firstrank.reranker.errors import InputError, MachineError
from firstrank.reranker.runs import irds
from firstrank.reranker.types import Passage

Titled = namedtuple("Titled", ["doc_id", "title", "text"])
Web = namedtuple("Web", ["doc_id", "url", "body"])


class Plain(namedtuple("Plain", ["doc_id", "abstract", "key"])):
    def default_text(self):
        return f"all of {self.abstract}"


DOCUMENTS = [Titled("a", "T", "x"), Titled("b", None, "y"), Web("c", "http://c", "z"), Plain("d", "words", 1)]
PASSAGES = [Passage("a", "x", "T"), Passage("b", "y"), Passage("c", "z"), Passage("d", "all of words")]


class Dataset:
    """All that is asked of a dataset."""

    def __init__(self, parts=("docs", "queries", "qrels")):
        for kind in ("docs", "queries", "qrels"):
            setattr(self, f"has_{kind}", lambda kind=kind: kind in parts)

    def docs_iter(self):
        return iter(DOCUMENTS)

    def queries_iter(self):
        return iter(
            [SimpleNamespace(query_id=1, default_text=lambda: "who?"), namedtuple("Q", ["query_id", "text", "more"])("2", "why?", "x")]
        )

    def qrels_iter(self):
        return iter([SimpleNamespace(query_id=1, doc_id="a", relevance="2")])

    def docs_store(self):
        return SimpleNamespace(get_many=lambda docids: {one.doc_id: one for one in DOCUMENTS if one.doc_id in docids})


@pytest.fixture
def load(monkeypatch):
    """Puts a dataset where ir_datasets would load one."""
    import ir_datasets

    def put(dataset):
        monkeypatch.setattr(ir_datasets, "load", {"set/one": dataset}.__getitem__)

    return put


def test_each_part_is_read_in_its_order(load):
    load(Dataset())
    assert list(irds.queries("ir_datasets:set/one")) == [("1", "who?"), ("2", "why?")]
    assert list(irds.qrels("ir_datasets:set/one")) == [("1", "a", 2)]
    assert list(irds.passages("ir_datasets:set/one")) == PASSAGES


def test_a_docstore_gives_what_it_has_and_travels_as_its_name(load):
    load(Dataset())
    store = pickle.loads(pickle.dumps(irds.Docstore("ir_datasets:set/one")))
    assert store.get(["c", "a", "none"]) == {"a": PASSAGES[0], "c": PASSAGES[2]}


@pytest.mark.parametrize(("part", "said"), [("docs", "has no documents"), ("queries", "has no queries"), ("qrels", "has no qrels")])
def test_a_part_that_a_dataset_lacks_is_named(load, part, said):
    load(Dataset({"docs", "queries", "qrels"} - {part}))
    read = {"docs": irds.passages, "queries": irds.queries, "qrels": irds.qrels}[part]
    with pytest.raises(InputError, match=f"ir_datasets:set/one: {said}$"):
        list(read("ir_datasets:set/one"))
    if part == "docs":
        with pytest.raises(InputError, match="has no documents"):
            irds.Docstore("ir_datasets:set/one")


def test_files_that_cannot_be_had_are_a_fault_of_the_machine(load):
    dataset = Dataset()
    dataset.docs_iter = lambda: (_ for _ in ()).throw(RuntimeError("no network"))
    load(dataset)
    with pytest.raises(MachineError, match="could not get its files: no network"):
        list(irds.passages("ir_datasets:set/one"))
