"""How much memory and time large files take.

    python -m benchmarks.files texts [--passages 1000000] [--queries 1000 10000] [--limit-mb 300]
    python -m benchmarks.files journal [--queries 100000] [--workers 8]

The files are made on the spot, in the folder for temporary files. Prints a line for each of them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import memory
from benchmarks.arguments import add_question, parser_of

ROOT = Path(__file__).parents[1]
WORDS = [f"word{i}" for i in range(5000)]
CHUNK, PART = 64, 8
"""queries that a worker is given at once, and results that it sends together"""


def main(words: Sequence[str] | None = None) -> int | None:
    parser = parser_of("files", __doc__)
    questions = parser.add_subparsers(metavar="QUESTION", required=True)
    asked = add_question(questions, texts)
    asked.add_argument("--passages", type=int, default=1_000_000)
    asked.add_argument("--queries", type=int, nargs="+", default=[1000, 10_000])
    asked.add_argument("--limit-mb", type=float, default=300)
    asked.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    asked = add_question(questions, journal)
    asked.add_argument("--queries", type=int, default=100_000)
    asked.add_argument("--workers", type=int, default=8)
    options = parser.parse_args(words)
    return options.answer(options)


def texts(options: argparse.Namespace) -> int:
    """Memory and speed of gathering and reading texts: a synthetic corpus, and runs of so many queries with 100 candidates each.

    Prints one JSON line a run: peak RSS of the process that read the run, gathered its texts and read them all by query, and
    passages a second. Ends with 1 where a peak exceeds the limit.
    """
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
            command = [sys.executable, "-m", "benchmarks.files", "texts", "--measure", str(corpus), str(run)]
            env = os.environ | {"FIRSTRANK_CACHE": str(Path(folder) / "cache")}
            line = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=env, cwd=ROOT).stdout)
            line["corpus_passages_per_second"] = round(options.passages / line["gather_seconds"])
            line |= {name: round(line[name], 1) for name in ("run_seconds", "gather_seconds", "read_seconds")}
            print(json.dumps(line), flush=True)
            exceeded |= line["peak_rss_mb"] > options.limit_mb
    return int(exceeded)


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
    """In a process of its own, which imports nothing else: read the run, gather, read every query's passages."""
    from firstrank.reranker.runs.trec import read_run
    from firstrank.reranker.texts.sources import open_texts, passages

    start = time.perf_counter()
    run = read_run(run_file)
    run_seconds, start = time.perf_counter() - start, time.perf_counter()
    run_peak = memory.peak()
    found = open_texts(corpus, run.docids)
    gather_seconds, start = time.perf_counter() - start, time.perf_counter()
    got = sum(len(passages(found, ranked.docids)) for ranked in run.values())
    read_seconds = time.perf_counter() - start
    result = {
        "queries": len(run),
        "passages_read": got,
        "peak_rss_mb": round(memory.peak(), 1),
        "peak_rss_mb_after_run": round(run_peak, 1),
        "run_seconds": run_seconds,
        "gather_seconds": gather_seconds,
        "read_seconds": read_seconds,
        "read_passages_per_second": round(got / read_seconds),
    }
    print(json.dumps(result))


def journal(options: argparse.Namespace) -> None:
    """What a driver's journal takes: queries a second written, found again by a batch that resumes, and merged into the output.

    Entries are those of depth 100 with a sliding pass's trace (9 windows of 20). They come as workers send them: in parts of 8, from
    chunks of 64 in turn. Prints a line for each of the three.
    """
    from firstrank.reranker.batch.journal import open_journal
    from firstrank.reranker.batch.tasks import Finished
    from firstrank.reranker.runs.trec import write_run

    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.trec"
        with open_journal(output, {}) as written, paced("made and written", options.queries):
            for number in arrivals(options.queries, options.workers):
                written.add(str(number), entry(number))
        print(f"the journal has {written.path.stat().st_size / 2**20:,.0f} MiB")
        with paced("found again", options.queries), open_journal(output, {}):
            pass
        with open_journal(output, {}) as found, paced("merged", options.queries):
            write_run(output, Finished([str(number) for number in range(options.queries)], found, {}).lists(tail=True))


def entry(number: int) -> dict[str, Any]:
    docids = [f"{7919 * (number + place) % 8841823:07}" for place in range(100)]
    windows = [
        {"round": i + 1, "docids": docids[80 - 10 * i : 100 - 10 * i], "prompt_tokens": 1950, "seconds": 0.0851, "scorer": "m", "notes": []}
        for i in range(9)
    ]
    trace = {"qid": str(number), "strategy": "sliding", "rounds": 9, "windows": windows, "prompt_tokens": 17550, "generated_tokens": 9}
    return {
        "docids": docids,
        "scores": [12.0 - 0.2137 * place for place in range(100)],
        "tail": [],
        "trace": trace | {"seconds": 0.8, "certified": 10, "notes": []},
    }


def arrivals(queries: int, workers: int) -> Iterator[int]:
    """Query numbers as their parts come: one of each worker's chunk, and again."""
    for start in range(0, queries, CHUNK * workers):
        for part in range(0, CHUNK, PART):
            for worker in range(workers):
                first = start + worker * CHUNK + part
                yield from range(first, min(first + PART, queries))


@contextmanager
def paced(what: str, queries: int) -> Iterator[None]:
    started, busy = time.perf_counter(), time.process_time()
    yield
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    print(
        f"{what}: {seconds:.1f} s ({busy:.1f} s of CPU), {queries / seconds:,.0f} queries a second, peak RSS {memory.peak():.0f} MB",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
