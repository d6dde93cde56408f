"""A LlamaIndex query engine whose nodes are reranked: python examples/with_llama_index.py [MODEL]"""

import sys

from llama_index.core import Settings, SummaryIndex
from llama_index.core.llms import MockLLM
from llama_index.core.schema import TextNode

from firstrank.reranker.integrations.llama_index import FirstRanker

Settings.llm = MockLLM()  # the answer is not the point here; response_mode="no_text" asks for none
texts = ["Bees make honey.", "Jane Austen wrote Emma.", "Emma is a novel of 1815."]
index = SummaryIndex([TextNode(text=text) for text in texts])

ranker = FirstRanker(sys.argv[1] if len(sys.argv) > 1 else "default", top_n=2)
engine = index.as_query_engine(node_postprocessors=[ranker], response_mode="no_text")

for found in engine.query("who wrote Emma?").source_nodes:
    print(round(found.score, 3), found.node.get_content())
