"""BM25 by pyserini, the best 20 reranked: python examples/with_pyserini.py INDEX "the query" [MODEL]"""

import sys

from firstrank.reranker.integrations.pyserini import FirstRanker, start

start()  # Java, and pyserini with it
from pyserini.search.lucene import LuceneSearcher  # noqa: E402 - it starts Java itself, if nothing has

index, query, model = [*sys.argv[1:], "default"][:3]
searcher = LuceneSearcher(index)
pipeline = searcher | FirstRanker(model, depth=20)

for place, hit in enumerate(pipeline.search(query, k=5), 1):
    print(f"{place} {hit.docid} {hit.score:.3f} (BM25 {hit.first.score:.3f}) {hit.passage.text[:60]}")

for qid, hits in pipeline.batch_search([query, "another query"], ["1", "2"], k=3, threads=2).items():
    print(qid, [hit.docid for hit in hits])
