"""How much the order of its input tells in a ranking: Kendall's tau between results from shuffled and from unshuffled input.

Compares a strategy with the same strategy inside `consistent`. Over an oracle whose logits gain --first for the first and --last
for the last place of a window, and over a model:

    python tests/measure/consistent_tau.py --data DL19 [--depth 100] [--first 1 --last 0.5 --noise 0.5 --seeds 5]
    python tests/measure/consistent_tau.py --data DL19 --model default --depth 20 --queries 10

DL19 is a BEIR folder with runs/bm25.trec.gz. Prints one JSON line: mean tau, 95% interval of its mean over queries, for each
strategy, and the paired differences. A query's shuffles are seeded.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from firstrank.eval.bench.collection import Collection, read_collection
from firstrank.eval.bench.strategies import interval_of_mean
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.scorers.base import Scorer
from firstrank.reranker.scorers.oracle import OracleOptions, OracleScorer
from firstrank.reranker.types import Ranking, Request


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--strategies", nargs="+", default=["sliding", "consistent:shuffles=5", "consistent:shuffles=5,aggregate=kemeny"])
    parser.add_argument("--model")
    parser.add_argument("--first", type=float, default=1.0)
    parser.add_argument("--last", type=float, default=0.5)
    parser.add_argument("--noise", type=float, default=0.5)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    source = str(options.data)
    collection = read_collection(options.data / "runs/bm25.trec.gz", source, source, source, options.depth)
    collection = replace(collection, requests=collection.requests[: options.queries])
    if options.model:
        scorer, _ = open_scorer(options.model)
        found = {name: taus(scorer, collection, name, 0) for name in options.strategies}
        scorer.close()
    else:
        found = {
            name: np.mean([of_oracle(collection, name, seed, options) for seed in range(options.seeds)], axis=0)
            for name in options.strategies
        }
    plain = found[options.strategies[0]]
    summary = {"model": options.model, "queries": len(collection.requests), "depth": options.depth}
    for name, values in found.items():
        summary[name] = {"tau": float(values.mean()), "interval": interval_of_mean(values.tolist())}
        if values is not plain:
            summary[name] |= {"rise": float((values - plain).mean()), "p": float(stats.ttest_rel(values, plain).pvalue)}
    print(json.dumps(summary, indent=1))


def of_oracle(collection: Collection, strategy: str, seed: int, options: argparse.Namespace) -> np.ndarray:
    bias = (options.first, options.last)
    scorer = OracleScorer(collection.qrels, OracleOptions(noise=options.noise, place_bias=bias, seed=seed))
    return taus(scorer, collection, strategy, seed)


def taus(scorer: Scorer, collection: Collection, strategy: str, seed: int) -> np.ndarray:
    """Each query's tau between the results from its candidates as they come and from a shuffle of them."""
    shuffled = [shuffle(request, seed) for request in collection.requests]
    reranker = Reranker(scorer, strategy=strategy, seed=seed)
    plain, mixed = list(reranker.rank_many(collection.requests)), list(reranker.rank_many(shuffled))
    return np.array([tau(one, other) for one, other in zip(plain, mixed, strict=True)])


def shuffle(request: Request, seed: int) -> Request:
    draw = random.Random(f"{seed}:{request.qid}")
    return replace(request, passages=tuple(draw.sample(request.passages, len(request.passages))))


def tau(one: Ranking, other: Ranking) -> float:
    place = {result.docid: result.rank for result in other}
    return float(stats.kendalltau(range(len(one)), [place[result.docid] for result in one]).statistic)


if __name__ == "__main__":
    main()
