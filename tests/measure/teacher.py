"""How good the teacher of `data build blended` is itself, and how near a reranked run comes to its order.

    python tests/measure/teacher.py --collection DL21 --qrels DL21/qrels/test.tsv --first bm25.trec
        [--reranked RUN …] [--depth 20 --words 36 --share 0]

Prints one JSON line: nDCG@10 of the first stage, of the teacher over its first --depth candidates and of each reranked run, each with the
difference to the first stage and the paired t-test's p; and Kendall's tau, mean over queries, between the candidates' orders. Queries
are those of --first that are judged. --share is how much the first stage's scores count beside the cosines. Needs
pip install 'firstrank[dense]'.
"""

from __future__ import annotations

import argparse
import json
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import stats

from firstrank.reranker.batch.tasks import RunTasks, queries_of
from firstrank.reranker.measures import per_query
from firstrank.reranker.retrievers.dense import EMBEDDED, open_encoder
from firstrank.reranker.runs.qrels import Qrels, read_qrels
from firstrank.reranker.runs.queries import read_queries
from firstrank.reranker.runs.trec import Ranked, Run, read_run
from firstrank.reranker.texts.sources import open_texts
from firstrank.training.data.blended import blended, head

MEASURE = "nDCG@10"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", required=True)
    parser.add_argument("--qrels", required=True)
    parser.add_argument("--first", type=Path, required=True)
    parser.add_argument("--reranked", type=Path, nargs="*", default=[])
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--words", type=int, default=36)
    parser.add_argument("--share", type=float, default=0.0)
    options = parser.parse_args()
    qrels = read_qrels(options.qrels)
    first = Run(ranked.top(options.depth) for qid, ranked in read_run(options.first).items() if qid in qrels)
    runs = {"first": first, "teacher": taught(first, options.collection, options.depth, options.words, options.share)}
    runs |= {str(path): Run(ranked.top(options.depth) for ranked in read_run(path).values()) for path in options.reranked}
    judged = {qid: qrels[qid] for qid in first}
    pairs = {f"{one} / {other}": tau(runs[one], runs[other]) for one, other in combinations(runs, 2)}
    print(json.dumps({"queries": len(judged), MEASURE: measured(runs, judged), "tau": pairs}))


def taught(first: Run, collection: str, depth: int, words: int, share: float) -> Run:
    """The candidates by the teacher's grades."""
    queries, encode = queries_of(first, read_queries(collection), collection), open_encoder(EMBEDDED)
    texts = open_texts(collection, first.docids)
    ranked = []
    for task in RunTasks(first, queries, texts, depth):
        request = task.request
        cosines = encode([head(passage, words) for passage in request.passages]) @ encode([request.query])[0]
        grades = blended(cosines, first[request.qid].scores, share)
        order = np.argsort(-grades, kind="stable")
        ranked.append(Ranked(request.qid, tuple(request.passages[i].docid for i in order), grades[order]))
    return Run(ranked)


def measured(runs: dict[str, Run], judged: Qrels) -> dict[str, dict[str, float]]:
    values = {name: np.array(list(per_query(run, judged, [MEASURE])[MEASURE].values())) for name, run in runs.items()}
    found = {name: {"mean": round(float(value.mean()), 4)} for name, value in values.items()}
    for name in values.keys() - {"first"}:
        difference = values[name] - values["first"]
        found[name] |= {"difference": round(float(difference.mean()), 4), "p": round(float(stats.ttest_1samp(difference, 0).pvalue), 4)}
    return found


def tau(one: Run, other: Run) -> float:
    """Kendall's tau of two orders of the same candidates, mean over queries; one candidate has no order, so its query does not count."""
    taus = []
    for qid, ranked in one.items():
        if len(ranked.docids) < 2:
            continue
        place = {docid: i for i, docid in enumerate(other[qid].docids)}
        taus.append(stats.kendalltau(range(len(ranked.docids)), [place[docid] for docid in ranked.docids]).statistic)
    return round(float(np.mean(taus)), 3)


if __name__ == "__main__":
    main()
