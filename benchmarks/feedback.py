"""What relevance feedback gives, and what it costs.

    python -m benchmarks.feedback recall FOLDER=VECTORS … [--split test] [--sweep]
    python -m benchmarks.feedback batch [--queries 1000] [--passages 100] [--dimensions 384] [--steps 100]

FOLDER is a BEIR folder, VECTORS what `firstrank retrieve --save-vectors` made of it. Prints a line for each way of feedback.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import ttest_rel

from benchmarks.arguments import add_question, parser_of
from firstrank.reranker.commands.feedback import searched, taught
from firstrank.reranker.feedback import OBJECTIVES, Feedback, distil
from firstrank.reranker.measures import per_query
from firstrank.reranker.retrievers.register import open_retriever
from firstrank.reranker.retrievers.vectors import Vectors, read_vectors, rows_of
from firstrank.reranker.runs.qrels import Qrels, read_qrels
from firstrank.reranker.runs.queries import Query, read_queries
from firstrank.reranker.runs.trec import Ranked, Run

DEPTH = 100


def main(words: Sequence[str] | None = None) -> int | None:
    parser = parser_of("feedback", __doc__)
    questions = parser.add_subparsers(metavar="QUESTION", required=True)
    asked = add_question(questions, recall)
    asked.add_argument("sets", nargs="+", metavar="FOLDER=VECTORS")
    asked.add_argument("--split", default="test")
    asked.add_argument("--sweep", action="store_true", help="rates and sharpnesses, for choosing defaults")
    asked = add_question(questions, batch)
    asked.add_argument("--queries", type=int, default=1000)
    asked.add_argument("--passages", type=int, default=100, help="a query")
    asked.add_argument("--dimensions", type=int, default=384)
    asked.add_argument("--steps", type=int, default=100)
    options = parser.parse_args(words)
    return options.answer(options)


def recall(options: argparse.Namespace) -> None:
    """Recall before and after relevance feedback, with an oracle reranker: is the second retrieval better than the first?

    FOLDER is a BEIR folder, VECTORS what `firstrank retrieve --save-vectors` made of it. Prints, for each way, recall at 100, its
    difference to the first dense search and the paired t-test's p.
    """
    tried = {objective: Feedback(objective) for objective in OBJECTIVES}
    if options.sweep:
        tried |= swept()
    for pair in options.sets:
        name, _, made = pair.partition("=")
        compare(Path(name), Path(made), options.split, tried)


def swept() -> dict[str, Feedback]:
    tried = {
        f"kl steps={s} rate={r} sharp={t}": Feedback("kl", s, r, t) for s in (20, 50) for r in (0.002, 0.005, 0.01) for t in (1.0, 2.0, 3.0)
    }
    tried |= {f"ranknet steps={s} rate={r}": Feedback("ranknet", s, r) for s in (20, 50) for r in (0.002, 0.005, 0.01)}
    tried |= {f"ridge {x}": Feedback("ridge", ridge=x) for x in (0.1, 0.3, 3.0, 10.0)}
    return tried | {f"rocchio {w} of {k}": Feedback("rocchio", rocchio=w, relevant=k) for w in (0.5, 1.0, 2.0) for k in (3, 5, 10)}


def oracle(run: Run, qrels: Qrels) -> Run:
    """Each list by grade, ties in the order in which they came."""
    reranked = []
    for one in run.values():
        grades = np.array([qrels[one.qid].get(docid, 0) for docid in one.docids], np.float32)
        order = np.argsort(-grades, kind="stable")
        reranked.append(Ranked(one.qid, tuple(one.docids[i] for i in order), grades[order]))
    return Run(reranked)


def compare(folder: Path, vectors: Path, split: str, settings: dict[str, Feedback]) -> None:
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


def batch(options: argparse.Namespace) -> None:
    """Seconds for many queries' feedback at once, and how far the vectors are from those of one query at a time.

    Queries and passages are random. Prints a line for each objective; the first ten queries are those that are done one at a time.
    """
    draw = np.random.default_rng(0)
    queries = unit(draw.normal(size=(options.queries, options.dimensions)))
    passages = [unit(query + 1.2 * unit(draw.normal(size=(options.passages, options.dimensions)))) for query in queries]
    scores = [draw.normal(size=options.passages).astype(np.float32) for _ in queries]
    for objective in ("kl", "ranknet", "ridge"):
        how = Feedback(objective, steps=options.steps)
        started = time.perf_counter()
        moved = distil(queries, passages, scores, how)
        seconds = time.perf_counter() - started
        first = range(min(10, len(queries)))
        alone = np.concatenate([distil(queries[i : i + 1], passages[i : i + 1], scores[i : i + 1], how) for i in first])
        print(f"{objective:8} {seconds:.2f} s, largest difference from one at a time {np.abs(alone - moved[: len(alone)]).max():.1e}")


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
