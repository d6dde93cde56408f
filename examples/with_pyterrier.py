"""A PyTerrier experiment over candidates in memory: python examples/with_pyterrier.py [MODEL]"""

import sys

import pandas as pd
import pyterrier as pt

from firstrank.reranker.integrations.pyterrier import FirstRanker

model = sys.argv[1] if len(sys.argv) > 1 else "default"
texts = {"d1": "Bees make honey.", "d2": "Jane Austen wrote Emma.", "d3": "Emma is a novel of 1815.", "d4": "Honey keeps for years."}
topics = pd.DataFrame([("1", "who wrote Emma?"), ("2", "what do bees make?")], columns=["qid", "query"])
qrels = pd.DataFrame([("1", "d2", 1), ("2", "d1", 1)], columns=["qid", "docno", "label"])


def everything(topics: pd.DataFrame) -> pd.DataFrame:
    """A first stage that finds all texts, the worst first."""
    documents = pd.DataFrame({"docno": list(texts)[::-1], "text": list(texts.values())[::-1], "score": [4.0, 3.0, 2.0, 1.0]})
    return pt.model.add_ranks(topics.merge(documents, how="cross"))


first_stage = pt.apply.generic(everything)
pipeline = first_stage % 100 >> FirstRanker(model)
print(pt.Experiment([first_stage, pipeline], topics, qrels, ["recip_rank", "mrt"], names=["first stage", "reranked"]))
