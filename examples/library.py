"""Reranking from Python: one query, then many.

python examples/library.py [MODEL]
"""

from __future__ import annotations

import sys

from firstrank import Passage, Request, Reranker

DOCUMENTS = [
    {"id": "cake", "title": "Honey cake", "text": "Stir honey, flour and eggs, and bake for an hour."},
    {"id": "bees", "title": "Honey", "text": "Bees turn nectar into honey, and fan it dry in the comb."},
    {"id": "emma", "title": "Emma", "text": "Jane Austen wrote Emma in 1815."},
]

with Reranker(sys.argv[1] if len(sys.argv) > 1 else "default") as reranker:
    ranking = reranker.rank("how do bees make honey?", DOCUMENTS)
    for result in ranking:
        print(result.rank, result.docid, f"{result.score:.3f}")
    print("the score of emma:", f"{ranking.score_of('emma'):.3f}", "| windows:", len(ranking.trace.windows))

    passages = tuple(Passage(document["id"], document["text"], document["title"]) for document in DOCUMENTS)
    requests = [Request(query, passages, qid) for qid, query in (("q1", "who wrote Emma?"), ("q2", "a recipe with honey"))]
    for ranking in reranker.rank_many(requests):
        print(ranking.qid, [result.docid for result in ranking.top_k(2)])
