"""Requests ranked by two workers on Ray, from Python: python examples/with_ray.py [MODEL]

On the command line: firstrank rerank … --workers-on ray --workers 2
"""

import sys

from firstrank.reranker import Failure
from firstrank.reranker.batch.ray import Workers, ray_engine
from firstrank.reranker.reranker import request_of
from firstrank.reranker.setup import Setup

texts = ["Bees make honey.", "Jane Austen wrote Emma.", "Emma is a novel of 1815."]
queries = ["who wrote Emma?", "what do bees make?", "when did Emma appear?"]
requests = (request_of(query, texts, qid=str(i)) for i, query in enumerate(queries))

setup = Setup.of(sys.argv[1] if len(sys.argv) > 1 else "default", threads=1)
with ray_engine(setup, Workers(2)) as rank:
    for result in rank(requests):  # as they finish
        if isinstance(result, Failure):
            print(result.qid, "failed:", result.error)
        else:
            print(result.qid, result.query, "->", result[0].passage.text)
