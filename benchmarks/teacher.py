"""How good the grades that a model is trained on are, and how much of them it has learned.

    python -m benchmarks.teacher quality --collection DL21 --qrels DL21/qrels/test.tsv --first bm25.trec
        [--reranked RUN …] [--depth 20 --words 36 --share 0]
    python -m benchmarks.teacher learned RUN/config.yaml [--every 50]

DL21 is a BEIR folder, bm25.trec its first stage, RUN the output of a training run. Prints JSON lines.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from itertools import combinations, groupby
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.special import logsumexp, softmax

from benchmarks.arguments import add_question, parser_of
from benchmarks.orders import tau
from firstrank.reranker.batch.tasks import RunTasks, queries_of
from firstrank.reranker.measures import per_query
from firstrank.reranker.retrievers.dense import EMBEDDED, open_encoder
from firstrank.reranker.runs.qrels import Qrels, read_qrels
from firstrank.reranker.runs.queries import read_queries
from firstrank.reranker.runs.trec import Ranked, Run, read_run
from firstrank.reranker.texts.sources import open_texts
from firstrank.training.config import read_config
from firstrank.training.data.blended import blended, head
from firstrank.training.log import LOG, read_log
from firstrank.training.run import batch_size, open_model, total_steps
from firstrank.training.samples.examples import Examples
from firstrank.training.samples.sample import Samples
from firstrank.training.total_loss import unit_for

MEASURE = "nDCG@10"


def main(words: Sequence[str] | None = None) -> str | None:
    parser = parser_of("teacher", __doc__)
    questions = parser.add_subparsers(metavar="QUESTION", required=True)
    asked = add_question(questions, quality)
    asked.add_argument("--collection", required=True)
    asked.add_argument("--qrels", required=True)
    asked.add_argument("--first", type=Path, required=True)
    asked.add_argument("--reranked", type=Path, nargs="*", default=[])
    asked.add_argument("--depth", type=int, default=20)
    asked.add_argument("--words", type=int, default=36)
    asked.add_argument("--share", type=float, default=0.0, help="how much the first stage's scores count beside the cosines")
    asked = add_question(questions, learned)
    asked.add_argument("recipe", type=Path)
    asked.add_argument("--every", type=int, default=50, help="steps of a part")
    options = parser.parse_args(words)
    return options.answer(options)


def quality(options: argparse.Namespace) -> None:
    """How good the teacher of `data build blended` is itself, and how near a reranked run comes to its order.

    Prints one JSON line: nDCG@10 of the first stage, of the teacher over its first --depth candidates and of each reranked run, each
    with the difference to the first stage and the paired t-test's p; and Kendall's tau, mean over queries, between the candidates'
    orders. Queries are those of --first that are judged. Needs pip install 'firstrank[dense]'.
    """
    qrels = read_qrels(options.qrels)
    first = Run(ranked.top(options.depth) for qid, ranked in read_run(options.first).items() if qid in qrels)
    runs = {"first": first, "teacher": taught(first, options.collection, options.depth, options.words, options.share)}
    runs |= {str(path): Run(ranked.top(options.depth) for ranked in read_run(path).values()) for path in options.reranked}
    judged = {qid: qrels[qid] for qid in first}
    pairs = {f"{one} / {other}": mean_tau(runs[one], runs[other]) for one, other in combinations(runs, 2)}
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


def mean_tau(one: Run, other: Run) -> float:
    """Over queries; one candidate has no order, so its query does not count."""
    return round(float(np.mean([tau(ranked.docids, other[qid].docids) for qid, ranked in one.items() if len(ranked.docids) > 1])), 3)


def learned(options: argparse.Namespace) -> str | None:
    """How much of what a run's grades can teach has been learned, in parts of so many steps; for recipes with listnet.

    Prints a JSON line for each part: means over its steps of the label logits' loss (rank), of the loss of equal logits on the very
    windows that were drawn (chance) and of the least possible one, which is the grades' own entropy (floor);
    (chance - rank) / (chance - floor) as `learned`; tokens, and tokens a second. RUN is the recipe's output, where config.yaml also
    holds what the command line changed. The run may be going on. Runs of one process only.
    """
    config = read_config(options.recipe)
    if config.loss.rank.name != "listnet" or config.log.every != 1:
        return f"{options.recipe}: only for loss.rank.name listnet, and a log of every step"
    temperature, size = float(config.loss.rank.options.get("temperature", 1.0)), batch_size(config, 1)
    examples = Examples(config.train)
    windows = Samples(config, open_model(config), examples, total_steps(config, examples) * size)
    unit = unit_for(config, windows)
    steps = [entry for entry in read_log(config.output / LOG) if "rank" in entry]
    for _, part in groupby(steps, lambda entry: (entry["step"] - 1) // options.every):
        entries = list(part)
        drawn = [windows[sample].grades for entry in entries for sample in range((entry["step"] - 1) * size, entry["step"] * size)]
        chance, floor = np.mean([bounds(grades, temperature) for grades in drawn], axis=0)
        rank = np.mean([entry["rank"] for entry in entries]) / unit
        tokens = sum(entry["tokens"] for entry in entries)
        took = entries[-1]["seconds"] - entries[0]["seconds"]
        print(
            json.dumps(
                {
                    "steps": [entries[0]["step"], entries[-1]["step"]],
                    "chance": round(float(chance), 3),
                    "floor": round(floor, 3),
                    "rank": round(float(rank), 3),
                    "learned": round(float((chance - rank) / (chance - floor)), 3),
                    "tokens": int(tokens),
                    "tokens_per_second": round((tokens - entries[0]["tokens"]) / took) if took > 0 else None,
                }
            )
        )


def bounds(grades: tuple[float, ...], temperature: float) -> tuple[float, float]:
    """(chance, floor) of one window; its loss is 0 where all grades are equal."""
    if len(set(grades)) < 2:
        return 0.0, 0.0
    wanted = np.array(grades) / temperature
    return math.log(len(grades)), float(logsumexp(wanted) - softmax(wanted) @ wanted)


if __name__ == "__main__":
    sys.exit(main())
