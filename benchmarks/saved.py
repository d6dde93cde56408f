"""How many windows a prior saves at equal effectiveness, over an oracle of given noise.

    python -m benchmarks.saved --collection DL19 --run bm25.trec
        [--prior dense:minilm=0.45,sparse:splade-tiny=0.45,first-stage=0.1] [--depths 20,30,40,60] [--noises 0,0.5,1,2]
        [--strategy sliding] [--seeds 5] [--fuse 0]

The oracle is a model that knows the grades, but for Gaussian noise on the grade scale. Prints one JSON line: for each noise, nDCG@10
and the mean number of windows of the strategy over all candidates in first-stage order, and over the prior's best so many.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from benchmarks.arguments import add_candidates, parser_of
from benchmarks.prior import read_requests
from firstrank.eval.bench.collection import Collection
from firstrank.reranker.scorers.base import Scorer, Session
from firstrank.reranker.scorers.oracle import OracleOptions, OracleScorer
from firstrank.reranker.scorers.prior import PriorScorer, PriorSession, Unread
from firstrank.reranker.strategies.prior import Prior, Standing, sources_of
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.types import Request

Standings = Mapping[str, Standing]
"""qid -> how its candidates stand"""


@dataclass(frozen=True)
class Remembered:
    """A scorer behind standings that were worked out before."""

    scorer: Scorer
    standings: Standings
    depth: int
    fuse: float
    name = "oracle"
    concurrency = OracleScorer.concurrency

    def open(self, request: Request) -> Session:
        standing = replace(self.standings[request.qid], depth=min(self.depth, len(request.passages)), fuse=self.fuse)
        return PriorSession(self.scorer.open(request), standing)

    def close(self) -> None:
        self.scorer.close()


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("saved", __doc__)
    add_candidates(parser)
    parser.add_argument("--prior", default="dense:minilm=0.45,sparse:splade-tiny=0.45,first-stage=0.1")
    parser.add_argument("--depths", default="20,30,40,60")
    parser.add_argument("--noises", default="0,0.5,1,2")
    parser.add_argument("--strategy", default="sliding")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--fuse", type=float, default=0.0)
    options = parser.parse_args(words)
    requests, qrels = read_requests(options.collection, options.split, options.run, options.queries, options.candidates)
    collection = Collection(tuple(requests), qrels)
    before = PriorScorer(Unread(), Prior(sources_of(options.prior), 0))
    standings = {request.qid: before.open(request).standing for request in requests}
    found = {}
    for noise in map(float, options.noises.split(",")):
        oracles = [OracleScorer(qrels, OracleOptions(noise=noise, seed=seed)) for seed in range(options.seeds if noise else 1)]
        rows = {"all, in first-stage order": measured(collection, oracles, options.strategy)}
        for depth in map(int, options.depths.split(",")):
            scorers = [Remembered(oracle, standings, depth, options.fuse) for oracle in oracles]
            rows[f"the prior's best {depth}"] = measured(collection, scorers, options.strategy)
        found[f"noise {noise:g}"] = rows
    print(json.dumps({"queries": len(requests), "strategy": options.strategy, "seeds": options.seeds, "fuse": options.fuse} | found))


def measured(collection: Collection, scorers: Sequence[Scorer], strategy: str) -> dict[str, float]:
    rankings = [collection.rank(scorer, parse_strategy(strategy)) for scorer in scorers]
    return {
        "nDCG@10": round(fmean(value for some in rankings for value in collection.effectiveness(some)), 4),
        "windows": round(fmean(len(ranking.trace.windows) for some in rankings for ranking in some), 2),
    }


if __name__ == "__main__":
    sys.exit(main())
