"""Lists to train on: questions of redistributable collections, BM25's best 60 of each, and two teachers' grades.

    python -m benchmarks.points.data COLLECTIONS OUTPUT [--documentation corpus.jsonl] [--parts 3]

COLLECTIONS holds BEIR folders: qed, squad-part, squadshifts (of which Wikipedia's part is taken), wikipedia-pool, selqa, medquad, scifact.
Each pool of passages is searched by itself. OUTPUT gets corpus.jsonl, and of twelve parts as many lists-K.jsonl as asked for; those that
are there are not made again. A grade is a sum of z-scores: dense:minilm and sparse:splade-tiny by halves; for SciFact and documentation
0.4 of each and 0.2 of BM25. The first two parts, of 937 questions each, took 15 and 22 minutes on one busy core.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix, vstack

from benchmarks.arguments import parser_of
from firstrank.reranker.encoders.register import open_dense, open_sparse
from firstrank.reranker.retrievers.bm25 import BM25
from firstrank.reranker.runs.files import whole_file
from firstrank.reranker.runs.qrels import Qrels, read_qrels
from firstrank.reranker.runs.queries import Query, read_queries
from firstrank.reranker.strategies.prior import zscores
from firstrank.reranker.texts.sources import read_passages
from firstrank.reranker.types import Passage
from firstrank.training.data.invented import keywords, sentences

DEPTH, FEWEST = 60, 5
"""candidates of a question, and how few leave it out"""
PARTS = 12
CHARACTERS = 1200
"""of a passage that teachers are shown"""
WEB, TECHNICAL = (0.5, 0.5, 0.0), (0.4, 0.4, 0.2)
"""weights of the dense teacher, the sparse one and BM25"""
WEIGHTS = {"wiki": WEB, "medquad": WEB, "scifact": TECHNICAL, "documentation": TECHNICAL}
KEYWORDS = {"wiki": 700, "scifact": 250, "medquad": 100, "documentation": 350}


class Question(NamedTuple):
    """What is asked of a pool, and the passages that are known to answer it."""

    pool: str
    qid: str
    text: str
    gold: tuple[str, ...] = ()


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("points.data", __doc__)
    parser.add_argument("collections", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--documentation", type=Path, help="what configs/training/documentation.sh writes; without it there is none")
    parser.add_argument("--parts", type=int, default=3, choices=range(1, PARTS + 1), metavar=f"1..{PARTS}")
    options = parser.parse_args(words)
    material = Material(options.collections, options.documentation)
    options.output.mkdir(parents=True, exist_ok=True)
    passages = {docid: one for pool in material.pools.values() for docid, one in pool.items()}
    with whole_file(options.output / "corpus.jsonl") as file:
        file.writelines(json.dumps({"_id": one.docid, "title": one.title, "text": one.text}) + "\n" for one in passages.values())
    searched = {name: BM25(pool.values()) for name, pool in material.pools.items()}
    teachers = Teachers(passages)
    for k, file in enumerate(options.output / f"lists-{k}.jsonl" for k in range(options.parts)):
        if not file.exists():
            with whole_file(file) as lines:
                lines.writelines(json.dumps(one) + "\n" for one in teachers.graded(material.asked[k::PARTS], searched))
            print(file, flush=True)


class Material:
    """Passages in pools, and what is asked of them, shuffled; the same collections give the same."""

    def __init__(self, collections: Path, documentation: Path | None) -> None:
        self.pools: dict[str, dict[str, Passage]] = {"wiki": {}, "medquad": {}, "scifact": {}}
        self.asked: list[Question] = []
        self._from, self._rng = collections, np.random.default_rng(35)
        self._collection("wiki", "qed", lambda qids: self._some(qids, 5000), prose=natural)
        self._collection("wiki", "squad-part", lambda qids: self._some(qids, 1600))
        self._collection("wiki", "squadshifts", lambda qids: self._some(qids, 500), prefix="wiki-")
        self._passages("wiki", "wikipedia-pool")
        self.asked += [Question("wiki", qid, text) for qid, text in read_queries(collections / "wikipedia-pool")]
        self._selqa()
        self._collection("medquad", "medquad", lambda qids: self._some(qids, 600))
        kept = {*self._some(self.pools["medquad"], 4000), *(docid for one in self.asked for docid in one.gold)}
        self.pools["medquad"] = {docid: one for docid, one in self.pools["medquad"].items() if docid in kept}
        self._collection("scifact", "scifact", lambda qids: sorted(qids)[::2])  # the other half is for development
        if documentation is not None:
            self.pools["documentation"] = {one.docid: one for one in self._some(read_passages(documentation), 5000)}
        self._invented()
        self.asked = self._some(self.asked, len(self.asked))

    def _collection(
        self, pool: str, name: str, some: Callable[[Iterable[str]], list[str]], prose: Callable[[str], str] = str, prefix: str = ""
    ) -> None:
        """Passages whose docids begin with `prefix`, and some of the questions whose answers are all among these."""
        self._passages(pool, name, prose, prefix)
        texts, judged = self._judged(name)
        for qid in some(qid for qid, grades in judged.items() if all(docid.startswith(prefix) for docid in grades)):
            gold = tuple(f"{name}/{docid}" for docid, grade in judged[qid].items() if grade > 0)
            self.asked.append(Question(pool, f"{name}/{qid}", prose(texts[qid]), gold))

    def _passages(self, pool: str, name: str, prose: Callable[[str], str] = str, prefix: str = "") -> None:
        for one in read_passages(self._from / name):
            if one.docid.startswith(prefix):
                docid = f"{name}/{one.docid}"
                self.pools[pool][docid] = Passage(docid, prose(one.text), prose(one.title))

    def _selqa(self) -> None:
        """Its passages are sentences: three of a section at a time make one here."""
        place: dict[str, str] = {}
        for title, section in groupby(read_passages(self._from / "selqa"), lambda one: one.title):
            found = list(section)
            for three in (found[start : start + 3] for start in range(0, len(found), 3)):
                docid = f"selqa/{three[0].docid}"
                self.pools["wiki"][docid] = Passage(docid, " ".join(one.text for one in three), title)
                place |= {one.docid: docid for one in three}
        texts, judged = self._judged("selqa")
        for qid, grades in judged.items():
            gold = sorted({place[docid] for docid, grade in grades.items() if grade > 0})
            self.asked.append(Question("wiki", f"selqa/{qid}", texts[qid], tuple(gold)))

    def _invented(self) -> None:
        """Keyword queries, whose passage need not be the best, and documentation's first sentences, whose rest is."""
        for pool, count in KEYWORDS.items():
            if pool in self.pools:
                made = self._some(keywords(list(self.pools[pool].values()), 1), count)
                self.asked += [Question(pool, f"{pool}/{one.qid}", one.query) for one in made]
        for one in self._some(sentences(self.pools.get("documentation", {}).values()), 450):
            self.pools["documentation"][one.passage.docid] = one.passage
            self.asked.append(Question("documentation", f"documentation/{one.qid}", one.query, (one.passage.docid,)))

    def _some(self, items: Iterable[Any], count: int) -> list[Any]:
        found = list(items)
        return [found[i] for i in self._rng.permutation(len(found))[:count]]

    def _judged(self, name: str) -> tuple[Mapping[str, str], Qrels]:
        return dict(read_queries(self._from / name)), read_qrels(self._from / name, "train")


def natural(text: str) -> str:
    """Penn Treebank's tokens as running text."""
    for apart, joined in (("`` ", '"'), (" ''", '"'), ("``", '"'), ("''", '"'), (" -- ", " – ")):
        text = text.replace(apart, joined)
    text = re.sub(r" (n't|'(?:s|re|ve|ll|d|m)\b)", r"\1", text)
    text = re.sub(r" ([,.;:!?)\]%'])", r"\1", text)
    return re.sub(r"([(\[$]) ", r"\1", text)


class Teachers:
    """The two encoders, and what they have read."""

    def __init__(self, passages: Mapping[str, Passage]) -> None:
        self._passages = passages
        self._dense, self._sparse = open_dense("minilm"), open_sparse("splade-tiny")
        self._vectors: dict[str, np.ndarray] = {}
        self._rows: dict[str, csr_matrix] = {}

    def graded(self, questions: Sequence[Question], searched: Mapping[str, BM25]) -> Iterator[dict[str, Any]]:
        """A list each, of query, docids, grades, gold; a gold passage that BM25 did not find stands at the end."""
        lists: list[tuple[Question, list[str], list[float]]] = []
        for one in questions:
            [found] = searched[one.pool].search([Query(one.qid, one.text)], DEPTH)
            missed = [docid for docid in one.gold if docid not in found.docids]
            if len(found.docids) >= FEWEST:
                lists.append((one, [*found.docids, *missed], [*found.scores.tolist(), *[0.0] * len(missed)]))
        self._read({docid for _, docids, _ in lists for docid in docids})
        asked = self._dense([one.text for one, *_ in lists])
        for (one, docids, scores), vector in zip(lists, asked, strict=True):
            words = self._sparse.words(one.text)
            dense = [float(self._vectors[docid] @ vector) for docid in docids]
            sparse = vstack([self._rows[docid] for docid in docids], format="csc")[:, words.ids.numpy()] @ words.weights.numpy()
            each = (zscores(dense), zscores(sparse.tolist()), zscores(scores))
            grades = np.sum([weight * values for weight, values in zip(WEIGHTS[one.pool], each, strict=True)], axis=0)
            yield {"query": one.text, "docids": docids, "grades": grades.round(4).tolist(), "gold": list(one.gold)}

    def _read(self, docids: set[str]) -> None:
        new = sorted(docids - self._vectors.keys())
        texts = [(f"{one.title}. {one.text}" if one.title else one.text)[:CHARACTERS] for one in map(self._passages.__getitem__, new)]
        self._vectors |= zip(new, self._dense(texts), strict=True)
        self._rows |= zip(new, self._sparse.matrix(texts), strict=True)


if __name__ == "__main__":
    sys.exit(main())
