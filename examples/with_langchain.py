"""A LangChain retriever whose documents are reranked: python examples/with_langchain.py [MODEL]"""

import sys

from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from firstrank.reranker.integrations.langchain import FirstRanker

TEXTS = ["Bees make honey.", "Jane Austen wrote Emma.", "Emma is a novel of 1815."]


class Everything(BaseRetriever):
    """A first stage that finds all texts."""

    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(page_content=text) for text in TEXTS]


compressor = FirstRanker(sys.argv[1] if len(sys.argv) > 1 else "default", top_n=2)
retriever = ContextualCompressionRetriever(base_compressor=compressor, base_retriever=Everything())

for document in retriever.invoke("who wrote Emma?"):
    print(round(document.metadata["relevance_score"], 3), document.page_content)
print(len(retriever.batch(["who wrote Emma?", "what do bees make?"])), "queries at once")
