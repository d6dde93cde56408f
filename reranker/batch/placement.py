"""Where a batch is ranked: in this process, or by workers on Ray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firstrank.reranker.errors import InputError
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.scorers.transformers.options import TransformersOptions
from firstrank.reranker.types import WorkersOn

if TYPE_CHECKING:
    from firstrank.reranker.batch.tasks import Rank
    from firstrank.reranker.setup import Setup


@dataclass(frozen=True, slots=True)
class Placement:
    """`--workers-on` and what belongs to it. Raises InputError for workers without Ray."""

    workers_on: WorkersOn = WorkersOn.local
    address: str | None = None
    workers: int | None = None
    gpus_per_worker: float | None = None

    def __post_init__(self) -> None:
        of_ray = {"--address": self.address, "--workers": self.workers, "--gpus-per-worker": self.gpus_per_worker}
        if self.workers_on is WorkersOn.local and (given := [name for name, value in of_ray.items() if value is not None]):
            raise InputError(f"{', '.join(given)}: only with --workers-on ray")

    def fitted(self, setup: Setup) -> Setup:
        """Ray's workers share a machine: one thread each unless told otherwise, so that the same command gives the same bytes anywhere."""
        options = setup.backend
        if self.workers_on is WorkersOn.ray and isinstance(options, TransformersOptions) and options.threads is None:
            return replace(setup, backend=replace(options, threads=1))
        return setup

    def open(self, setup: Setup) -> AbstractContextManager[Rank]:
        """A Reranker here, or one in each worker; a worker takes as many cores as it has threads."""
        if self.workers_on is WorkersOn.local:
            return _local(setup)
        from firstrank.reranker.batch.ray import Workers, ray_engine

        threads = setup.backend.threads if isinstance(setup.backend, TransformersOptions) else None
        return ray_engine(setup, Workers(self.workers, self.gpus_per_worker, threads or 1, self.address))


@contextmanager
def _local(setup: Setup) -> Iterator[Rank]:
    with Reranker(setup) as reranker:
        yield reranker.stream
