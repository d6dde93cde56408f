"""A model as a system to measure: the first run, reranked by it through the same batch that `firstrank rerank` runs.

Queries are ranked one at a time, so that a trace's seconds are a query's latency; one more goes first, to warm up. An interrupted
batch is resumed by the same command.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from firstrank.eval.costs import read_traces
from firstrank.eval.datasets import Dataset
from firstrank.eval.evaluation import System
from firstrank.eval.machine import model_facts, scorer_facts
from firstrank.reranker.batch.job import Inputs, Job, Missing
from firstrank.reranker.batch.placement import Placement
from firstrank.reranker.batch.tasks import Rank
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.runs.files import fingerprint
from firstrank.reranker.runs.trec import Run, read_run, write_run
from firstrank.reranker.scorers.backends import spec_of
from firstrank.reranker.setup import Setup
from firstrank.reranker.types import Failure, Ranking, Request, WorkersOn

_log = logging.getLogger(__name__)

Facts = dict[str, Any]
Opener = Callable[[Setup, Facts], AbstractContextManager[Rank]]
"""Opens whatever ranks (here, or workers elsewhere) and says of itself what makes its figures comparable."""


@contextmanager
def one_at_a_time(setup: Setup, facts: Facts) -> Iterator[Rank]:
    """A Reranker in this process, with one query alive at any time."""
    with Reranker(setup) as reranker:
        facts |= scorer_facts(reranker.scorer) | {"concurrency": 1, "warm-up": "1 query, not counted"}
        yield lambda requests: _warmed(reranker, requests)


def opener_of(placement: Placement) -> Opener:
    """What `--workers-on` names. On Ray queries share their workers, so a trace's seconds hold what a query waited for others."""
    if placement.workers_on is WorkersOn.local:
        return one_at_a_time

    @contextmanager
    def on_ray(setup: Setup, facts: Facts) -> Iterator[Rank]:
        with placement.open(setup) as rank:
            workers = placement.workers or "as many as fit"
            facts |= {"workers on": "Ray", "workers": workers, "concurrency": "many queries a worker: seconds hold their waiting"}
            yield rank

    return on_ray


@dataclass(frozen=True, slots=True)
class Reranking:
    """How the candidates of a first stage are reranked, and where runs and traces are kept."""

    dataset: Dataset
    first_stage: Run
    folder: Path
    depth: int
    opener: Opener = one_at_a_time

    def system(self, setup: Setup, name: str) -> System:
        """The reranked run with its traces. Raises what `firstrank rerank` raises."""
        stem = stem_of(name)
        output, trace = self.folder / f"{stem}.trec", self.folder / f"{stem}.trace.jsonl"
        facts: Facts = model_facts(setup.model, setup.revision) | {
            "backend": setup.backend_name,
            "strategy": setup.completed().strategy,
            "depth": self.depth,
        }
        facts |= {name: value for name in ("window", "stride") if (value := getattr(setup.schedule, name)) is not None}
        candidates = self.folder / "first_stage.trec"
        write_run(candidates, self.first_stage.values())
        inputs = Inputs(
            candidates, self.dataset.query_source, self.dataset.corpus or self.dataset.source, None, self.depth, False, Missing.fail
        )
        facts |= {"first stage's hash": fingerprint(candidates)}
        report = Job(inputs, setup, output, trace).run(self.opener(setup, facts))
        _log.info("%s", report)
        calibration = setup.chosen_calibration(spec_of(setup.model, setup.backend))
        return System(name, read_run(output), read_traces(trace), facts, cut=None if calibration is None else calibration.cut)


def stem_of(name: str) -> str:
    """What a system's files are called."""
    return name.replace("/", "_").replace(" ", "_")


def _warmed(reranker: Reranker, requests: Iterable[Request]) -> Iterator[Ranking | Failure]:
    waiting = iter(requests)
    first = next(waiting, None)
    if first is None:
        return
    list(reranker.stream([first]))
    for request in chain([first], waiting):
        yield from reranker.stream([request])
