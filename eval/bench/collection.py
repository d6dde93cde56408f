"""What a bench of strategies or cascades ranks: a run's candidates with their texts, and the judgments that say how well."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firstrank.reranker.errors import InputError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.measures import per_query
from firstrank.reranker.runs.qrels import Qrels, read_qrels
from firstrank.reranker.runs.trec import Ranked, Run
from firstrank.reranker.scorers.base import Scorer
from firstrank.reranker.types import Failure, Ranking, Request, Strategy

MEASURE = "nDCG@10"


@dataclass(frozen=True, slots=True)
class Collection:
    """The judged queries of a run, in its order."""

    requests: tuple[Request, ...]
    qrels: Qrels

    def rank(self, scorer: Scorer, strategy: Strategy) -> list[Ranking]:
        """Every query ranked. Raises what the first query that failed raised."""
        found = asyncio.run(self._ranked(scorer, strategy))
        if failed := next((one for one in found if isinstance(one, Failure)), None):
            raise failed.error
        return [one for one in found if isinstance(one, Ranking)]

    def effectiveness(self, rankings: Iterable[Ranking]) -> list[float]:
        """nDCG@10 of each query, in the order of `requests`."""
        return self._measured({one.qid: tuple(result.docid for result in one) for one in rankings})

    def first_stage(self) -> list[float]:
        """nDCG@10 of each query as it came."""
        return self._measured({request.qid: tuple(passage.docid for passage in request.passages) for request in self.requests})

    async def _ranked(self, scorer: Scorer, strategy: Strategy) -> list[Ranking | Failure]:
        executor = Executor(scorer)
        try:
            return [one async for one in executor.stream(self.requests, strategy)]
        finally:
            executor.close()

    def _measured(self, lists: dict[str, tuple[str, ...]]) -> list[float]:
        ranked = (Ranked(qid, docids, -np.arange(len(docids), dtype=np.float32)) for qid, docids in lists.items())
        values = per_query(Run(ranked), {request.qid: self.qrels[request.qid] for request in self.requests}, (MEASURE,))[MEASURE]
        return [values[request.qid] for request in self.requests]


def read_collection(run: Path, queries: str, corpus: str, qrels: str, depth: int) -> Collection:
    """Reads all of it; queries that nobody judged are left out. Raises InputError where none is judged."""
    from firstrank.reranker.batch.tasks import RunTasks, queries_of
    from firstrank.reranker.runs.queries import read_queries
    from firstrank.reranker.runs.trec import read_run
    from firstrank.reranker.texts.sources import open_texts

    if depth < 1:
        raise InputError(f"--depth {depth}: must be at least 1")
    judgments, candidates = read_qrels(qrels), read_run(run)
    judged = Run((ranked for qid, ranked in candidates.items() if qid in judgments), name=candidates.name)
    if not judged:
        raise InputError(f"{qrels} judges none of the queries of {run}")
    texts = open_texts(corpus, lambda: judged.docids(depth))
    tasks = RunTasks(judged, queries_of(judged, read_queries(queries), queries), texts, depth)
    return Collection(tuple(task.request for task in tasks), judgments)
