"""Recall before and after relevance feedback, with an oracle reranker: is the second retrieval better than the first?

python tests/measure/feedback_recall.py FOLDER=VECTORS …   (a BEIR folder, and what `firstrank retrieve --save-vectors` made of it)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import ttest_rel

from firstrank.reranker.commands.feedback import searched, taught
from firstrank.reranker.feedback import OBJECTIVES, Feedback
from firstrank.reranker.measures import per_query
from firstrank.reranker.retrievers.register import open_retriever
from firstrank.reranker.retrievers.vectors import Vectors, read_vectors, rows_of
from firstrank.reranker.runs.qrels import Qrels, read_qrels
from firstrank.reranker.runs.queries import Query, read_queries
from firstrank.reranker.runs.trec import Ranked, Run

DEPTH = 100


def oracle(run: Run, qrels: Qrels) -> Run:
    """Each list by grade, ties in the order in which they came."""
    reranked = []
    for one in run.values():
        grades = np.array([qrels[one.qid].get(docid, 0) for docid in one.docids], np.float32)
        order = np.argsort(-grades, kind="stable")
        reranked.append(Ranked(one.qid, tuple(one.docids[i] for i in order), grades[order]))
    return Run(reranked)


def measure(folder: Path, vectors: Path, split: str, settings: dict[str, Feedback]) -> None:
    qrels = read_qrels(folder / "qrels" / f"{split}.tsv")
    passages, every = read_vectors(vectors, "passages"), read_vectors(vectors, "queries")
    asked = [query for query in read_queries(folder) if query.qid in qrels]
    rows = rows_of(every, [query.qid for query in asked], "queries", vectors)
    queries = Vectors(tuple(query.qid for query in asked), every.values[rows])
    first = Run(searched(passages, queries, DEPTH))
    teacher = oracle(first, qrels)
    runs = {"dense": first} | {
        name: Run(searched(passages, taught(teacher, queries, passages, DEPTH, how, source=vectors), DEPTH))
        for name, how in settings.items()
    }
    runs |= {name: _sparse(name, folder, asked) for name in ("bm25", "rm3")}
    measures = [f"R@{DEPTH}"]
    before = _values(first, qrels, measures)
    print(f"\n{folder.name}, {split}: {len(asked)} queries")
    for name, run in runs.items():
        values = _values(run, qrels, measures)
        print(f"  {name:32} {values.mean():.4f}  {values.mean() - before.mean():+.4f}  p = {ttest_rel(values, before).pvalue:.2g}")


def _sparse(name: str, folder: Path, asked: list[Query]) -> Run:
    return Run(open_retriever(name, folder).search(asked, DEPTH))


def _values(run: Run, qrels: Qrels, measures: list[str]) -> np.ndarray:
    [found] = per_query(run, qrels, measures).values()
    return np.array([found[qid] for qid in qrels])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--split", default="test")
    parser.add_argument("--sweep", action="store_true", help="rates and sharpnesses, for choosing defaults")
    given = parser.parse_args()
    tried = {objective: Feedback(objective) for objective in OBJECTIVES}
    if given.sweep:
        tried |= {
            f"kl steps={s} rate={r} sharp={t}": Feedback("kl", s, r, t)
            for s in (20, 50)
            for r in (0.002, 0.005, 0.01)
            for t in (1.0, 2.0, 3.0)
        }
        tried |= {f"ranknet steps={s} rate={r}": Feedback("ranknet", s, r) for s in (20, 50) for r in (0.002, 0.005, 0.01)}
        tried |= {f"ridge {x}": Feedback("ridge", ridge=x) for x in (0.1, 0.3, 3.0, 10.0)}
        tried |= {f"rocchio {w} of {k}": Feedback("rocchio", rocchio=w, relevant=k) for w in (0.5, 1.0, 2.0) for k in (3, 5, 10)}
    for pair in given.sets:
        name, _, made = pair.partition("=")
        measure(Path(name), Path(made), given.split, tried)
