"""Where a command's model runs: in this process, or in workers on Ray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from firstrank.reranker.commands.console import note
from firstrank.reranker.errors import InputError

if TYPE_CHECKING:
    from firstrank.reranker.batch.tasks import Rank
    from firstrank.reranker.setup import Setup


class Engine(StrEnum):
    """Where the model runs."""

    local = "local"
    ray = "ray"


@dataclass(frozen=True, slots=True)
class Placement:
    """`--engine` and what belongs to it. Raises InputError for workers without Ray."""

    engine: Engine = Engine.local
    address: str | None = None
    workers: int | None = None
    gpus_per_worker: float | None = None

    def __post_init__(self) -> None:
        of_ray = {"--address": self.address, "--workers": self.workers, "--gpus-per-worker": self.gpus_per_worker}
        if self.engine is Engine.local and (given := [name for name, value in of_ray.items() if value is not None]):
            raise InputError(f"{', '.join(given)}: only with --engine ray")

    def threads(self, given: int | None, backend: str) -> int | None:
        """Ray's workers share a machine: one thread each unless told otherwise, so that the same command gives the same bytes anywhere."""
        return 1 if given is None and self.engine is Engine.ray and backend == "transformers" else given

    def open(self, setup: Setup) -> AbstractContextManager[Rank]:
        """A Reranker here, or one in each worker; a worker takes as many cores as it has threads."""
        if self.engine is Engine.local:
            return _local(setup)
        from firstrank.reranker.batch.ray import Workers, ray_engine

        return ray_engine(setup, Workers(self.workers, self.gpus_per_worker, setup.options.get("threads", 1), self.address))


@contextmanager
def _local(setup: Setup) -> Iterator[Rank]:
    from firstrank.reranker.models.catalog import describe

    if setup.oracle is None and describe(setup.model)["path"] is None:
        note(f"model {setup.model}: fetched into the cache, once; this may take a minute")
    with setup.open() as reranker:
        yield reranker.stream
