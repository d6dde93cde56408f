"""What a prior gives by itself, and what the model adds that reads its best candidates.

    python -m benchmarks.prior --collection DL21 --run bm25.trec [--split test] [--queries 60] [--weights 0.5,0.5,0]
        [--model default --depth 20 --dtype bfloat16]

The weights are of dense:minilm, sparse:splade-tiny and the first stage. Prints one JSON line: nDCG@10 of the first stage, of each cheap
scorer, of the prior, and, with a model, of its own order and of model + fuse * prior for several weights, each over the same candidates.
`p` is that of a paired t-test against the prior, `p_first_stage` against the first stage. Choose by development data only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.arguments import add_candidates, parser_of
from firstrank.eval.datasets import open_dataset
from firstrank.reranker.batch.tasks import RunTasks, queries_of
from firstrank.reranker.measures import per_query
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.runs.qrels import Qrels
from firstrank.reranker.runs.trec import Ranked, Run, read_run
from firstrank.reranker.scorers.prior import fused, source_of
from firstrank.reranker.strategies.prior import FIRST_STAGE, Prior, Standing
from firstrank.reranker.types import Request

MEASURE = "nDCG@10"
SOURCES = ("dense:minilm", "sparse:splade-tiny", FIRST_STAGE)
FUSE = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0)


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("prior", __doc__)
    add_candidates(parser)
    parser.add_argument("--weights", default="0.5,0.5,0")
    parser.add_argument("--model")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--dtype")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(words)
    requests, qrels = read_requests(options.collection, options.split, options.run, options.queries, options.candidates)
    weights = [float(weight) for weight in options.weights.split(",")]
    scores = [[source_of(name)(request) for request in requests] for name in SOURCES]
    prior = [fused([(weight, one) for weight, one in zip(weights, of, strict=True) if weight]) for of in zip(*scores, strict=True)]
    systems = {
        name: [by_value(request, of) for request, of in zip(requests, found, strict=True)]
        for name, found in zip(SOURCES, scores, strict=True)
    }
    systems["prior"] = [by_value(request, of) for request, of in zip(requests, prior, strict=True)]
    if options.model:
        standings = [Standing.of(of, Prior((("first-stage", 1.0),), options.depth)) for of in prior]
        systems |= behind(options.model, requests, standings, dtype=options.dtype, threads=options.threads)
    print(json.dumps({"queries": len(requests), "weights": weights, MEASURE: measured(requests, systems, qrels)}))


def read_requests(collection: str, split: str | None, run: Path, queries: int | None, depth: int) -> tuple[list[Request], Qrels]:
    """The judged queries of a run, the first `queries` of them, with `depth` candidates each."""
    dataset = open_dataset(collection, split)
    judged = dataset.judged(read_run(run))
    some = Run(islice(judged.values(), queries), name=judged.name)
    texts = dataset.texts(lambda: some.docids(depth))
    try:
        tasks = RunTasks(some, queries_of(some, dataset.queries.items(), collection), texts, depth)
        return [task.request for task in tasks], dataset.qrels
    finally:
        texts.close()


def by_value(request: Request, values: np.ndarray) -> Ranked:
    """The candidates by their scores; ties in first-stage order."""
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    return in_order(request, order)


def in_order(request: Request, order: Sequence[int]) -> Ranked:
    return Ranked(request.qid, tuple(request.passages[i].docid for i in order), -np.arange(len(order), dtype=np.float32))


def behind(model: str, requests: Sequence[Request], standings: Sequence[Standing], **settings: object) -> dict[str, list[Ranked]]:
    """The model's own order of what it reads, and its order joined with the prior's."""
    shown = [
        Request(request.query, tuple(request.passages[i] for i in standing.order[: standing.depth]), request.qid)
        for request, standing in zip(requests, standings, strict=True)
    ]
    with Reranker(model, prior="none", **settings) as reranker:
        rankings = list(reranker.rank_many(shown))
    found: dict[str, list[Ranked]] = {name: [] for name in ("model", *(f"fuse {fuse:g}" for fuse in FUSE))}
    for request, standing, ranking in zip(requests, standings, rankings, strict=True):
        order = [standing.order[result.index] for result in ranking] + standing.order[standing.depth :]
        raw = [result.raw_score for result in ranking]
        raw += [raw[-1] - place for place in range(1, len(order) - len(raw) + 1)]
        found["model"].append(in_order(request, order))
        for fuse in FUSE:
            joined, _ = Standing(standing.values, standing.depth, fuse, "").joined(order, raw)
            found[f"fuse {fuse:g}"].append(in_order(request, joined))
    return found


def measured(requests: Sequence[Request], systems: dict[str, list[Ranked]], qrels: Qrels) -> dict[str, dict[str, float]]:
    judged = {request.qid: qrels[request.qid] for request in requests}
    values = {name: np.array([*per_query(Run(ranked), judged, [MEASURE])[MEASURE].values()]) for name, ranked in systems.items()}
    return {
        name: {
            "mean": round(float(value.mean()), 4),
            "p": p_of(value, values["prior"]),
            "p_first_stage": p_of(value, values[FIRST_STAGE]),
        }
        for name, value in values.items()
    }


def p_of(one: np.ndarray, other: np.ndarray) -> float:
    return round(float(stats.ttest_rel(one, other).pvalue), 4) if (one != other).any() else 1.0


if __name__ == "__main__":
    sys.exit(main())
