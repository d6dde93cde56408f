"""A small test collection with runs that differ: made on the spot, so that tests need no data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

QUERIES = 12
DOCIDS = [f"d{i}" for i in range(8)]
NASTY = "</script><script>alert('x')</script> & <b>bold</b>"


def make(folder: Path) -> Path:
    """A BEIR folder with 12 queries; the first passage's text tries to break out of a page."""
    (folder / "qrels").mkdir(parents=True)
    texts = [{"_id": docid, "title": f"Title {docid}", "text": NASTY if docid == "d0" else f"Passage {docid} text."} for docid in DOCIDS]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(one) + "\n" for one in texts))
    queries = [{"_id": f"q{i}", "text": f"what is number {i}? {NASTY if i == 0 else ''}"} for i in range(QUERIES)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(one) + "\n" for one in queries))
    rows = [f"q{i}\td{(i + k) % 8}\t{3 - k}\n" for i in range(QUERIES) for k in range(4)]
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))
    return folder


def write_run(path: Path, seed: int, queries: int = QUERIES, quality: float = 0.0) -> Path:
    """A run of drawn scores; with `quality`, a candidate's grade counts too."""
    draw = np.random.default_rng(seed)
    lines = []
    for i in range(queries):
        for place, docid in enumerate(DOCIDS):
            grade = max(3 - (place - i) % 8, 0)
            lines.append(f"q{i} Q0 {docid} 1 {draw.uniform() + quality * grade:.6f} t\n")
    path.write_text("".join(lines))
    return path


def write_trace(path: Path, seconds: float, generated: int = 0) -> Path:
    """What a run cost: `seconds` a query and a little more each."""
    window = {"round": 1, "docids": DOCIDS, "prompt_tokens": 400, "seconds": seconds, "scorer": "m", "notes": []}
    if generated:
        window |= {"notes": ["answer repaired: 1 repeated, 1 missing, 0 foreign"]}
    spent = {"strategy": "full", "rounds": 1, "prompt_tokens": 400, "generated_tokens": generated, "certified": 8, "notes": []}
    lines = [{"qid": f"q{i}", "seconds": seconds + i / 100, "windows": [window]} | spent for i in range(QUERIES)]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path
