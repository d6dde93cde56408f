"""Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009): several rankings of a query -> one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from firstrank.reranker.runs.trec import Ranked, trec_order

K = 60
"""the paper's constant: how little the first places count more than the next"""


def fuse(rankings: Sequence[Ranked], depth: int, k: int = K) -> Ranked:
    """The best `depth` by the sum of 1 / (k + rank) over rankings of one query; ties by docid, descending."""
    sums: defaultdict[str, float] = defaultdict(float)
    for ranked in rankings:
        for rank, docid in enumerate(ranked.docids, 1):
            sums[docid] += 1.0 / (k + rank)
    docids = list(sums)
    scores = np.array([sums[docid] for docid in docids], np.float32)
    order = trec_order(docids, scores)[:depth]
    return Ranked(rankings[0].qid, tuple(docids[i] for i in order), scores[order])
