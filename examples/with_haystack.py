"""A Haystack pipeline with a ranker, saved and loaded again: python examples/with_haystack.py [MODEL]"""

import sys

from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from firstrank.reranker.integrations.haystack import FirstRanker

texts = ["Bees make honey.", "Jane Austen wrote Emma.", "Emma is a novel of 1815."]
store = InMemoryDocumentStore()
store.write_documents([Document(content=text) for text in texts])

pipeline = Pipeline()
pipeline.add_component("retriever", InMemoryBM25Retriever(store))
pipeline.add_component("ranker", FirstRanker(sys.argv[1] if len(sys.argv) > 1 else "default", top_k=2))
pipeline.connect("retriever.documents", "ranker.documents")

query = "who wrote Emma?"
for document in pipeline.run({"retriever": {"query": query}, "ranker": {"query": query}})["ranker"]["documents"]:
    print(round(document.score, 3), document.content)

again = Pipeline.loads(pipeline.dumps(), allowed_modules=["firstrank.reranker.integrations.haystack"])
print("loaded again:", again.get_component("ranker").model)
