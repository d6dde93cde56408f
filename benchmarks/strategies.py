"""What strategies cost, and how much the order of their input tells.

    python -m benchmarks.strategies tokens --data DL19 [--model default] [--depth 100]
    python -m benchmarks.strategies steps [--depth 1000] [--strategies sliding consistent:aggregate=kemeny …]
    python -m benchmarks.strategies order --data DL19 [--depth 100] [--first 1 --last 0.5 --noise 0.5 --seeds 5]
    python -m benchmarks.strategies order --data DL19 --model default --depth 20 --queries 10

DL19 is a BEIR folder with runs/bm25.trec.gz. `firstrank bench strategies` tells what they are worth under noise.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from scipy import stats

from benchmarks.arguments import add_question, parser_of
from benchmarks.orders import tau
from firstrank.eval.bench.collection import Collection, read_collection
from firstrank.eval.bench.strategies import interval_of_mean
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.scorers.base import Scorer
from firstrank.reranker.scorers.oracle import OracleOptions, OracleScorer
from firstrank.reranker.strategies.register import STRATEGIES, parse_strategy
from firstrank.reranker.types import Ranking, Request, Scores, View


def main(words: Sequence[str] | None = None) -> int | None:
    parser = parser_of("strategies", __doc__)
    questions = parser.add_subparsers(metavar="QUESTION", required=True)
    asked = add_question(questions, tokens)
    asked.add_argument("--data", type=Path, required=True)
    asked.add_argument("--model", default="first-smollm2")
    asked.add_argument("--depth", type=int, default=100)
    asked.add_argument("--strategies", nargs="+", default=["sliding", "topdown", "topdown:budget=20", "tournament", "blitz"])
    asked = add_question(questions, steps)
    asked.add_argument("--depth", type=int, default=1000)
    asked.add_argument("--strategies", nargs="+", default=[*STRATEGIES, "consistent:aggregate=kemeny"])
    asked = add_question(questions, order)
    asked.add_argument("--data", type=Path, required=True)
    asked.add_argument("--depth", type=int, default=100)
    asked.add_argument("--queries", type=int)
    asked.add_argument("--strategies", nargs="+", default=["sliding", "consistent:shuffles=5", "consistent:shuffles=5,aggregate=kemeny"])
    asked.add_argument("--model")
    asked.add_argument("--first", type=float, default=1.0)
    asked.add_argument("--last", type=float, default=0.5)
    asked.add_argument("--noise", type=float, default=0.5)
    asked.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args(words)
    return options.answer(options)


def tokens(options: argparse.Namespace) -> None:
    """What each schedule costs in a model's own prompt tokens: windows that a perfect oracle asks, put together as the model reads them.

    No weights are loaded. Prints medians over the queries, and their ratio to the first strategy's.
    """
    collection = collection_of(options)
    prompter = load_model(options.model).prompter
    encoded = {request.qid: prompter.encode(request) for request in collection.requests}
    first = 0.0
    for name in options.strategies:
        found = []
        for request, ranking in zip(
            collection.requests, collection.rank(OracleScorer(collection.qrels), parse_strategy(name)), strict=True
        ):
            index = {passage.docid: i for i, passage in enumerate(request.passages)}
            windows = [[index[docid] for docid in window.docids] for window in ranking.trace.windows]
            found.append(sum(len(encoded[request.qid].prompt(window)) for window in windows))
        first = first or median(found)
        print(f"{name:20} {median(found):8.0f} tokens  {median(found) / first:.3f}", flush=True)


def steps(options: argparse.Namespace) -> None:
    """How long a strategy keeps the event loop waiting: its longest computation between two rounds, in processor time.

    Prints a line for each strategy: seconds of its longest step, and of all steps of one request.
    """
    print("strategy | longest step, s | all steps, s")
    for name in options.strategies:
        longest, total = stepped(name, options.depth)
        print(f"{name} | {longest:.4f} | {total:.4f}", flush=True)


def stepped(name: str, depth: int) -> tuple[float, float]:
    """(longest step, all steps), in seconds, of one request whose scores are a grade plus as much noise."""
    draw = random.Random(0)
    grades = [draw.gauss(0, 1) for _ in range(depth)]
    spent: list[float] = []
    generator = parse_strategy(name)(View(depth, [10] * depth, depth, 0))
    answers: list[Scores] | None = None
    while True:
        started = time.process_time()
        try:
            windows = next(generator) if answers is None else generator.send(answers)
        except StopIteration:
            windows = None
        spent.append(time.process_time() - started)
        if windows is None:
            return max(spent), sum(spent)
        answers = [Scores(tuple(grades[i] + draw.gauss(0, 1) for i in window)) for window in windows]


def order(options: argparse.Namespace) -> None:
    """How much the order of its input tells in a ranking: Kendall's tau between results from shuffled and from unshuffled input.

    Compares a strategy with the same strategy inside `consistent`: over an oracle whose logits gain --first for the first and --last
    for the last place of a window, or over a model. Prints one JSON document: mean tau and the 95% interval of its mean over queries,
    for each strategy, and the paired differences to the first. A query's shuffles are seeded.
    """
    collection = collection_of(options)
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
    return np.array([tau(docids(one), docids(other)) for one, other in zip(plain, mixed, strict=True)])


def docids(ranking: Ranking) -> list[str]:
    return [result.docid for result in ranking]


def shuffle(request: Request, seed: int) -> Request:
    draw = random.Random(f"{seed}:{request.qid}")
    return replace(request, passages=tuple(draw.sample(request.passages, len(request.passages))))


def collection_of(options: argparse.Namespace) -> Collection:
    source = str(options.data)
    return read_collection(options.data / "runs/bm25.trec.gz", source, source, source, options.depth)


if __name__ == "__main__":
    sys.exit(main())
