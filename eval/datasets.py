"""What systems are measured on: queries and judgments of a BEIR folder, or of `ir_datasets:ID`; texts on demand."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from firstrank.reranker.errors import FormatError, InputError, MachineError
from firstrank.reranker.runs.irds import PREFIX
from firstrank.reranker.runs.qrels import Qrels, read_qrels
from firstrank.reranker.runs.queries import read_queries
from firstrank.reranker.runs.trec import Run
from firstrank.reranker.texts.sources import Docids, Texts, open_texts
from firstrank.reranker.types import Passage

SPLIT = "test"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A test collection. `queries` holds the texts of the judged queries."""

    name: str
    source: str
    split: str
    queries: Mapping[str, str]
    qrels: Qrels
    corpus: str | None = None
    """where the passages are; None: `source`, unless `has_texts` is false"""
    has_texts: bool = True
    query_source: str = ""
    """where the queries are; `source` unless they are a file of their own"""

    def __post_init__(self) -> None:
        if not self.query_source:
            object.__setattr__(self, "query_source", self.source)

    def passages(self, docids: Sequence[str]) -> dict[str, Passage]:
        """Those of the docids whose text can be had here: a report is whole without them, so what is in the way is only warned of."""
        if not self.has_texts:
            return {}
        try:
            texts = self.texts(lambda: docids)
        except FormatError:
            raise
        except (InputError, MachineError) as error:
            _log.warning("the report shows no passages: %s", error)
            return {}
        try:
            return texts.get(list(dict.fromkeys(docids)))
        finally:
            texts.close()

    def texts(self, wanted: Docids) -> Texts:
        """The passages of those docids, as far as they have a text."""
        return open_texts(self.corpus or self.source, wanted, missing="skip")

    def first(self, queries: int | None) -> Dataset:
        """The dataset of its first judged queries; None is all."""
        kept = dict(islice(self.qrels.items(), queries))
        return replace(self, qrels=kept, queries={qid: self.queries[qid] for qid in kept})

    def judged(self, run: Run, *, drop_self: bool = False) -> Run:
        """What of a run counts: its judged queries, without the candidate whose docid is the qid if told so (ArguAna).

        Raises InputError where it has none of them: a run of another dataset.
        """
        lists = (run[qid] for qid in self.qrels if qid in run)
        kept = Run((ranked.without(ranked.qid) if drop_self else ranked for ranked in lists), name=run.name)
        if not kept:
            raise InputError(
                f"{run.name}: none of its {len(run)} queries is judged in {self.source} ({self.split}): is it this dataset's run?"
            )
        return kept


def open_dataset(source: str, split: str | None = None) -> Dataset:
    """Reads a dataset's judgments and the texts of its judged queries.

    The split of a BEIR folder is `test` unless said otherwise; that of `ir_datasets:ID` stands in its id. Raises InputError
    for a source without judgments, a split that is not there, judged queries without text, and what the readers raise.
    """
    if source.startswith(PREFIX):
        if split is not None:
            raise InputError(f"--split {split}: the split of an ir_datasets dataset is part of its id, say {PREFIX}beir/scifact/test")
        qrels, name, split = read_qrels(source), source.removeprefix(PREFIX), "as its id says"
    else:
        if not Path(source).is_dir():
            raise InputError(f"--dataset {source}: no such folder; give a BEIR folder, or {PREFIX}ID")
        split = split or SPLIT
        qrels, name = read_qrels(source, split), Path(source).resolve().name
    queries = {query.qid: query.text for query in read_queries(source) if query.qid in qrels}
    if lacking := [qid for qid in qrels if qid not in queries]:
        raise InputError(
            f"{source}: {len(lacking)} judged queries have no text, the first of them {lacking[0]!r}: are these its judgments?"
        )
    return Dataset(name, source, split, queries, qrels)


def of_files(qrels: str, queries: str | None = None, corpus: str | None = None) -> Dataset:
    """A dataset of single files: judgments, and where they are given the texts of queries and passages.

    A judged query without text is an error only where queries are given: figures need none.
    """
    judged = read_qrels(qrels)
    texts = dict.fromkeys(judged, "")
    if queries is not None:
        texts |= {query.qid: query.text for query in read_queries(queries) if query.qid in judged}
        if lacking := [qid for qid in judged if not texts[qid]]:
            raise InputError(f"{queries}: {len(lacking)} queries that {qrels} judges have no text, the first of them {lacking[0]!r}")
    return Dataset(Path(qrels).name, qrels, "as given", texts, judged, corpus, corpus is not None, queries or "")
