"""What scores carry absolute relevance, and how good are the probabilities that are made of them?

    python -m benchmarks.calibration evidence --collection SciFact --split train --run bm25.trec --queries 60 --output scifact-train.npz
    python -m benchmarks.calibration measure --fit dl21.npz scifact-train.npz … --test dl19.npz … [--output calibration.yaml]

`evidence` reads candidates once and keeps what is known of each: the prior's values, the model's, whether it is relevant. `measure` fits
to some of these files and prints, of each set, one JSON line: AUROC of each kind of evidence across and within queries, the calibration's
ECE, Brier score and AUROC, the AUROC of "nothing is relevant", what its cut keeps and drops, and nDCG@10 of requests that were split.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.arguments import add_candidates, add_question, parser_of
from firstrank.eval.calibration import Plan, Source, judged, read_requests
from firstrank.reranker.alignment import falling
from firstrank.reranker.calibration import quality
from firstrank.reranker.calibration.calibration import Calibration
from firstrank.reranker.calibration.fitting import Judged, fit, in_the_best, said, strongest_of_each, without_relevant
from firstrank.reranker.calibration.maps import MODEL
from firstrank.reranker.scorers.prior import fused
from firstrank.reranker.setup import Setup
from firstrank.reranker.strategies.prior import Prior, Standing, zscores

_PART = 8
"""documents of a request that is a part of another"""
_TOP = 10


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("calibration", __doc__)
    questions = parser.add_subparsers(required=True)
    reads = add_question(questions, evidence)
    add_candidates(reads)
    reads.add_argument("--model", default="default")
    reads.add_argument("--dtype")
    reads.add_argument("--threads", type=int)
    reads.add_argument("--output", type=Path, required=True)
    measures = add_question(questions, measure)
    measures.add_argument("--model", default="default")
    measures.add_argument("--fit", type=Path, nargs="+", required=True)
    measures.add_argument("--test", type=Path, nargs="+", default=[])
    measures.add_argument("--arithmetic", nargs="+", default=["float32", "bfloat16", "float16", "int8"])
    measures.add_argument("--output", type=Path, help="the calibration, as YAML")
    options = parser.parse_args(words)
    options.answer(options)


def evidence(options: Namespace) -> None:
    """Reads candidates once, and keeps what is known of each."""
    source = Source(options.collection, options.split, options.run)
    setup = Setup.of(options.model, dtype=options.dtype, threads=options.threads, calibration="none")
    requests, qrels = read_requests(source, options.queries, options.candidates)
    scorer, _ = setup.open_scorer()
    try:
        save(judged(source.name, requests, qrels, None, scorer, reads=True), options.output)
    finally:
        scorer.close()


def measure(options: Namespace) -> None:
    """Fits to some files, and measures on these and others."""
    development, others = [[load(path) for path in paths] for paths in (options.fit, options.test)]
    holds = Plan(Setup.of(options.model), (), None, 1, None).holds(tuple(options.arithmetic))
    calibration = fit(development, holds)
    if options.output is not None:
        calibration.write(options.output)
    for one in calibration.fitted_on:
        print(json.dumps({"held out": one.model_dump()}))
    for kind, sets in (("fitted", development), ("other", others)):
        for one in sets:
            print(json.dumps({"set": one.name, "is": kind} | figures(one, calibration)))


def figures(one: Judged, calibration: Calibration) -> dict[str, object]:
    """All that is asked of one set."""
    p, _ = said(one, calibration.read, calibration.unread)
    read = one.where(one.read)
    best = in_the_best(one, p, _TOP)
    kept, dropped = p[best & one.relevant] >= calibration.cut, p[best & ~one.relevant] < calibration.cut
    return {
        "queries": one.queries,
        "candidates": len(p),
        "read": int(one.read.sum()),
        "relevant": round(float(one.relevant.mean()), 3),
        "auroc of read, across and within queries": {
            name: [_round(quality.auroc(column, read.relevant)), _round(quality.auroc_within(column, read.relevant, read.query))]
            for name, column in (read.evidence | {"probability": p[one.read]}).items()
        },
        "auroc across queries": _round(quality.auroc(p, one.relevant)),
        "ece": _round(quality.ece(p, one.relevant)),
        "ece of read": _round(quality.ece(p[one.read], read.relevant)),
        "brier": _round(quality.brier(p, one.relevant)),
        "nothing relevant auroc": _round(nothing_auroc(one, calibration)),
        "kept": _round(float(kept.mean()) if len(kept) else None),
        "dropped": _round(float(dropped.mean()) if len(dropped) else None),
        "split": {n: [_round(value) for value in split(one, calibration, n)] for n in (16, 24)},
    }


def nothing_auroc(one: Judged, calibration: Calibration) -> float | None:
    """Queries with their relevant candidates against the same without: how well the best candidate tells them apart."""
    answered = one.where(np.isin(one.query, np.unique(one.query[one.relevant])))
    found = [
        strongest_of_each(some, said(some, calibration.read, calibration.unread)[1]) for some in (answered, without_relevant(answered))
    ]
    return quality.auroc(np.concatenate(found), np.repeat([True, False], [len(part) for part in found]))


def split(one: Judged, calibration: Calibration, n: int) -> tuple[float, float]:
    """nDCG@10 of the first n candidates that were read: in one request, and in requests of 8 that are merged by probability.

    The mean over queries that have so many, and a relevant one among them.
    """
    found = []
    for query in np.unique(one.query):
        places = np.flatnonzero((one.query == query) & one.read)[:n]
        if len(places) == n and one.relevant[places].any():
            found.append(_split(one, calibration, places))
    whole, parts = np.mean(found, axis=0) if found else (np.nan, np.nan)
    return float(whole), float(parts)


def _split(one: Judged, calibration: Calibration, places: np.ndarray) -> tuple[float, float]:
    order = _order(one, places)
    scored: list[tuple[float, int]] = []
    for start in range(0, len(places), _PART):
        part = _order(one, places[start : start + _PART])
        mask = np.zeros(len(one.query), bool)
        mask[part] = True
        p = dict(zip(np.flatnonzero(mask).tolist(), said(one.where(mask), calibration.read, calibration.unread)[0].tolist(), strict=True))
        probabilities, _ = falling(np.array([p[i] for i in part]))
        scored += zip(probabilities.tolist(), part, strict=True)
    merged = [i for _, i in sorted(scored, key=lambda pair: -pair[0])]
    return _ndcg(one.relevant[order]), _ndcg(one.relevant[merged])


def _order(one: Judged, places: np.ndarray) -> list[int]:
    """A request's candidates as the default model orders them, without first-stage scores, as over HTTP."""
    here = {name: column[places] for name, column in one.evidence.items()}
    prior = fused([(0.45, column) for name, column in here.items() if name != MODEL])
    standing = Standing.of(prior, Prior((("first-stage", 1.0),), len(places), 2.5))
    by_model = sorted(range(len(places)), key=lambda i: -here[MODEL][i])
    joined, _ = standing.joined(by_model, zscores(here[MODEL][by_model].tolist()).tolist())
    return [int(places[i]) for i in joined]


def _ndcg(relevant: np.ndarray) -> float:
    gain = 1 / np.log2(np.arange(2, _TOP + 2))
    top = relevant[:_TOP]
    return float((top * gain[: len(top)]).sum() / gain[: min(int(relevant.sum()), _TOP)].sum())


def save(one: Judged, path: Path) -> None:
    columns = {f"evidence {name}": column for name, column in one.evidence.items()}
    np.savez(path, name=one.name, relevant_from=one.relevant_from, query=one.query, relevant=one.relevant, read=one.read, **columns)


def load(path: Path) -> Judged:
    found = np.load(path, allow_pickle=False)
    columns = {name.removeprefix("evidence "): found[name] for name in found.files if name.startswith("evidence ")}
    return Judged(str(found["name"]), int(found["relevant_from"]), found["query"], found["relevant"], found["read"], columns)


def _round(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else round(value, 4)


if __name__ == "__main__":
    sys.exit(main())
