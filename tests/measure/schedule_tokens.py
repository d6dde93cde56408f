"""What each schedule costs in a model's own prompt tokens: windows that a perfect oracle asks, put together as the model would read them.

    python tests/measure/schedule_tokens.py --data DL19 [--model default] [--depth 100]

DL19 is a BEIR folder with runs/bm25.trec.gz. No weights are loaded. Prints medians over the queries, and their ratio to `sliding`'s.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median

from firstrank.eval.bench.collection import read_collection
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.scorers.oracle import OracleScorer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--strategies", nargs="+", default=["sliding", "topdown", "topdown:budget=20", "tournament", "blitz"])
    options = parser.parse_args()
    source = str(options.data)
    collection = read_collection(options.data / "runs/bm25.trec.gz", source, source, source, options.depth)
    prompter = load_model(options.model).prompter
    encoded = {request.qid: prompter.encode(request) for request in collection.requests}
    first = 0.0
    for name in options.strategies:
        found = []
        for request, ranking in zip(collection.requests, collection.rank(OracleScorer(collection.qrels), name), strict=True):
            index = {passage.docid: i for i, passage in enumerate(request.passages)}
            windows = [[index[docid] for docid in window.docids] for window in ranking.trace.windows]
            found.append(sum(len(encoded[request.qid].prompt(window)) for window in windows))
        first = first or median(found)
        print(f"{name:20} {median(found):8.0f} tokens  {median(found) / first:.3f}", flush=True)


if __name__ == "__main__":
    main()
