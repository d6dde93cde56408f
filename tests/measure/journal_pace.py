"""What a driver's journal takes: queries a second written, found again by a batch that resumes, and merged into the output.

Entries are those of depth 100 with a sliding pass's trace (9 windows of 20). They come as eight workers send them: in parts of 8, from
chunks of 64 in turn.

    python tests/measure/journal_pace.py [--queries 100000] [--workers 8]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from firstrank.reranker.batch.journal import open_journal
from firstrank.reranker.batch.tasks import Finished

CHUNK, PART = 64, 8


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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {seconds:.1f} s ({busy:.1f} s of CPU), {queries / seconds:,.0f} queries a second, peak RSS {peak:.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.trec"
        with open_journal(output, {}) as journal, paced("made and written", options.queries):
            for number in arrivals(options.queries, options.workers):
                journal.add(str(number), entry(number))
        print(f"the journal has {journal.path.stat().st_size / 2**20:,.0f} MiB")
        with paced("found again", options.queries), open_journal(output, {}):
            pass
        with open_journal(output, {}) as journal, paced("merged", options.queries):
            Finished([str(number) for number in range(options.queries)], journal, {}).write_run(output, tail=True)


if __name__ == "__main__":
    main()
