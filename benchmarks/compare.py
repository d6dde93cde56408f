"""Ways to rerank the same candidates, side by side: seconds a query, effectiveness, and how alike their orders are.

    python -m benchmarks.compare --collection DL21 --run bm25.trec [--split test] [--queries 5] [--rounds 3] [--threads 2]
        --system model=default,dtype=float32 --system model=default,dtype=int8 [--system …]

A system is settings of `Setup.of` as NAME=VALUE, joined by commas (`;` inside a value stands for a comma; `engine_arg=NAME=VALUE` sets what
an engine knows). In each round every system ranks the same queries, one after the other, so that a machine that is slow for a while is slow
for all. Prints one JSON line: per system the median seconds a query over rounds, its ratio to the first system (median, least and most over
rounds), nDCG@10 with the p of a paired t-test against the first, and Kendall's tau of the whole order against the first system's.
`--rounds 0` measures no time, and holds one system in memory at a time.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.arguments import add_candidates, parser_of
from benchmarks.prior import MEASURE, read_requests
from firstrank.reranker.measures import per_query
from firstrank.reranker.models.arithmetic import described, units
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.runs.qrels import Qrels
from firstrank.reranker.runs.trec import Ranked, Run
from firstrank.reranker.setup import Setup, read_settings
from firstrank.reranker.types import Ranking, Request


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("compare", __doc__)
    add_candidates(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--system", action="append", required=True, help="NAME=VALUE,…")
    options = parser.parse_args(words)
    requests, qrels = read_requests(options.collection, options.split, options.run, options.queries, options.candidates)
    setups = {system: setup_of(system, options.threads) for system in options.system}
    if options.rounds:
        with ExitStack() as opened:
            rerankers = {system: opened.enter_context(Reranker(setup)) for system, setup in setups.items()}
            rankings, seconds = ranked(rerankers, requests, options.rounds)
    else:
        rankings, seconds = {system: once(setup, requests) for system, setup in setups.items()}, {}
    facts = {"queries": len(requests), "candidates": options.candidates, "rounds": options.rounds, "threads": options.threads}
    machine = {"processor": platform.processor() or platform.machine(), "units": described(units())}
    print(json.dumps(facts | machine | {"systems": compared(rankings, seconds, qrels)}))


def setup_of(system: str, threads: int | None = None) -> Setup:
    """`model=default,dtype=int8` -> a Setup. Raises InputError for what `Setup.of` refuses."""
    settings: dict[str, Any] = {}
    for pair in system.split(","):
        name, _, value = pair.partition("=")
        value = value.replace(";", ",")
        if name == "engine_arg":
            settings.setdefault(name, []).append(value)
            continue
        settings[name] = int(value) if value.isdigit() else float(value) if value.replace(".", "", 1).isdigit() else value
    if threads is not None and settings.get("prior_depth") != 0:
        settings["threads"] = threads
    return Setup.of(**read_settings(settings))


def once(setup: Setup, requests: Sequence[Request]) -> list[Ranking]:
    with Reranker(setup) as reranker:
        return list(reranker.rank_many(requests))


def ranked(
    rerankers: dict[str, Reranker], requests: Sequence[Request], rounds: int
) -> tuple[dict[str, list[Ranking]], dict[str, list[float]]]:
    """Each system's rankings, and its seconds a query in each round; the first query of each is ranked once before, to warm up."""
    found: dict[str, list[Ranking]] = {}
    seconds: dict[str, list[float]] = {system: [] for system in rerankers}
    for system, reranker in rerankers.items():
        found[system] = list(reranker.rank_many(requests[:1]))
    for _ in range(rounds):
        for system, reranker in rerankers.items():
            started = time.perf_counter()
            found[system] = list(reranker.rank_many(requests))
            seconds[system].append((time.perf_counter() - started) / len(requests))
    return found, seconds


def compared(rankings: dict[str, list[Ranking]], seconds: dict[str, list[float]], qrels: Qrels) -> dict[str, dict[str, Any]]:
    first, *_ = rankings
    values = {system: effectiveness(of, qrels) for system, of in rankings.items()}
    return {
        system: {
            MEASURE: round(float(values[system].mean()), 4),
            "p": round(float(stats.ttest_rel(values[system], values[first]).pvalue), 4) if any(values[system] != values[first]) else 1.0,
            "tau": round(float(np.mean([tau(one, other) for one, other in zip(rankings[system], rankings[first], strict=True)])), 4),
            **(timed(seconds[system], seconds[first]) if seconds else {}),
        }
        for system in rankings
    }


def timed(own: Sequence[float], of_first: Sequence[float]) -> dict[str, Any]:
    ratios = sorted(one / other for one, other in zip(own, of_first, strict=True))
    return {
        "seconds": round(float(np.median(own)), 3),
        "ratio": round(float(np.median(ratios)), 3),
        "ratios": [round(ratios[0], 3), round(ratios[-1], 3)],
    }


def effectiveness(rankings: Sequence[Ranking], qrels: Qrels) -> np.ndarray:
    run = Run(
        Ranked(one.qid, tuple(result.docid for result in one), np.array([result.raw_score for result in one], np.float32))
        for one in rankings
    )
    return np.array([*per_query(run, {one.qid: qrels[one.qid] for one in rankings}, [MEASURE])[MEASURE].values()])


def tau(one: Ranking, other: Ranking) -> float:
    """Kendall's, of two orders of the same candidates."""
    place = {result.docid: result.rank for result in other}
    return float(stats.kendalltau([result.rank for result in one], [place[result.docid] for result in one]).statistic)


if __name__ == "__main__":
    sys.exit(main())
