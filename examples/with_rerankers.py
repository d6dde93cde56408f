"""A ranker of the `rerankers` package: python examples/with_rerankers.py [MODEL]"""

import asyncio
import sys

from firstrank.reranker.integrations.rerankers import FirstRanker

ranker = FirstRanker(sys.argv[1] if len(sys.argv) > 1 else "default")
texts = ["Bees make honey.", "Jane Austen wrote Emma.", "Emma is a novel of 1815."]

results = ranker.rank("who wrote Emma?", texts, doc_ids=["bees", "austen", "emma"])
for result in results.top_k(2):
    print(result.rank, result.doc_id, round(result.score, 3), result.text)


async def both() -> None:
    for found in await asyncio.gather(*(ranker.rank_async(query, texts) for query in ("who wrote Emma?", "what do bees make?"))):
        print(found.query, [result.doc_id for result in found])


asyncio.run(both())
