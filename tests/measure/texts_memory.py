"""Memory and speed of gathering and reading texts: a synthetic corpus of 1,000,000 passages, runs of 1,000 and 10,000 queries x 100.

    python tests/measure/texts_memory.py [--passages 1000000] [--queries 1000 10000] [--limit-mb 300]

Prints one JSON line a run: peak RSS of the process that read the run, gathered its texts and read them all by query, and
passages per second. Ends with 1 if a peak exceeds the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = [f"word{i}" for i in range(5000)]


def docid(i: int) -> str:
    """As long as those of MS MARCO v2."""
    return f"msmarco_passage_{i % 70:02d}_{i * 7919 % 1_000_000_007:09d}"


def make_corpus(path: Path, passages: int) -> None:
    """Passages of about 60 words, as MS MARCO's are."""
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=60)) for _ in range(2000)]
    with path.open("w") as file:
        for i in range(passages):
            file.write(json.dumps({"_id": docid(i), "title": "", "text": f"{i} {texts[i % len(texts)]}"}) + "\n")


def make_run(path: Path, queries: int, passages: int) -> None:
    """100 candidates a query from all over the corpus, scores with ties."""
    draw = random.Random(1)
    with path.open("w") as file:
        for query in range(queries):
            for rank, i in enumerate(draw.sample(range(passages), 100), 1):
                file.write(f"q{query} Q0 {docid(i)} {rank} {100 - rank // 2} synthetic\n")


def measure(corpus: Path, run_file: Path) -> None:
    """In a process of its own: read the run, gather, read every query's passages."""
    from firstrank.reranker.runs.trec import read_run
    from firstrank.reranker.texts.sources import open_texts, passages

    start = time.perf_counter()
    run = read_run(run_file)
    read_seconds, start = time.perf_counter() - start, time.perf_counter()
    run_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    texts = open_texts(corpus, run.docids)
    gather_seconds, start = time.perf_counter() - start, time.perf_counter()
    got = sum(len(passages(texts, ranked.docids)) for ranked in run.values())
    result = {
        "queries": len(run),
        "passages_read": got,
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "peak_rss_mb_after_run": round(run_rss / 1024, 1),
        "run_seconds": round(read_seconds, 1),
        "gather_seconds": round(gather_seconds, 1),
        "read_seconds": round(time.perf_counter() - start, 1),
        "read_passages_per_second": round(got / (time.perf_counter() - start)),
    }
    print(json.dumps(result))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--limit-mb", type=float, default=300)
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(*options.measure)
        return 0
    exceeded = False
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        make_corpus(corpus, options.passages)
        for queries in options.queries:
            run = Path(folder) / f"{queries}.trec"
            make_run(run, queries, options.passages)
            command = [sys.executable, __file__, "--measure", str(corpus), str(run)]
            env = os.environ | {"FIRSTRANK_CACHE": str(Path(folder) / "cache")}
            line = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout)
            line["corpus_passages_per_second"] = round(options.passages / line["gather_seconds"])
            print(json.dumps(line), flush=True)
            exceeded |= line["peak_rss_mb"] > options.limit_mb
    return int(exceeded)


if __name__ == "__main__":
    sys.exit(main())
