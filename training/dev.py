"""nDCG@10 of the weights as they are, by `reranker` itself: what `firstrank rerank` would print for the exported model."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import islice
from typing import Any

import numpy as np

from firstrank.reranker.batch.tasks import RunTasks, queries_of
from firstrank.reranker.errors import InputError
from firstrank.reranker.measures import per_query
from firstrank.reranker.models.layers import first_layers
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.queries import read_queries
from firstrank.reranker.runs.trec import Ranked, Run, read_run
from firstrank.reranker.scorers.transformers.options import TransformersOptions
from firstrank.reranker.scorers.transformers.scorer import TransformersScorer
from firstrank.reranker.texts.sources import open_texts
from firstrank.reranker.types import Ranking
from firstrank.training.attention import serving
from firstrank.training.sections import Dev

MEASURE = "nDCG@10"


class DevSet:
    """The queries of a first-stage run with their judgments. Raises InputError for files that do not fit together."""

    def __init__(self, settings: Dev) -> None:
        qrels = read_qrels(settings.qrels)
        run = read_run(settings.run)
        self._run = Run(islice((ranked for qid, ranked in run.items() if qid in qrels), settings.limit), name=str(settings.run))
        if not self._run:
            raise InputError(f"dev: no query of {settings.run} is judged in {settings.qrels}")
        self._qrels = {qid: qrels[qid] for qid in self._run}
        queries = queries_of(self._run, read_queries(settings.queries), settings.queries)
        texts = open_texts(settings.corpus, lambda: self._run.docids(settings.depth))
        self._requests = [task.request for task in RunTasks(self._run, queries, texts, settings.depth)]
        texts.close()
        self._depth = settings.depth

    def __len__(self) -> int:
        return len(self._requests)

    def first_stage(self) -> float:
        return self._measured(Run(ranked.top(self._depth) for ranked in self._run.values()))

    def score(self, network: Any, model: Model, threads: int | None = None) -> float:
        """nDCG@10 over the set's queries with these weights (a causal language model), which stay in training mode."""
        return self._measured(Run(map(_ranked, self.rankings(network, model, threads))))

    def rankings(self, network: Any, model: Model, threads: int | None = None) -> list[Ranking]:
        """The set's candidates, reranked with these weights by what the model says of itself: strategy, window, stride, cut …"""
        layers = model.spec.layers if model.spec.answer == "marks" else None
        with serving(network), first_layers(network, layers) if layers else nullcontext():
            scorer = TransformersScorer(model, TransformersOptions(device=_device(network), threads=threads), network=network)
            with Reranker(scorer, schedule=model.spec.schedule) as reranker:
                return list(reranker.rank_many(self._requests))

    def _measured(self, run: Run) -> float:
        values = per_query(run, self._qrels, [MEASURE])[MEASURE].values()
        return sum(values) / len(values)


def _ranked(ranking: Ranking) -> Ranked:
    return Ranked(ranking.qid, tuple(result.docid for result in ranking), np.array([one.raw_score for one in ranking], np.float32))


def _device(network: Any) -> Any:
    return next(network.parameters()).device.type
