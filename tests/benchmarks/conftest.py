"""A small collection that benchmarks run on."""

from __future__ import annotations

import gzip
import json
from itertools import product
from pathlib import Path

import pytest

QUERIES, DOCIDS = [f"q{i}" for i in range(4)], [f"d{i}" for i in range(12)]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BEIR folder with a run, its candidates not in the order of their grades."""
    folder = tmp_path_factory.mktemp("collection")
    (folder / "qrels").mkdir()
    (folder / "runs").mkdir()
    texts = [{"_id": docid, "title": "", "text": f"{docid} says what number {i} is"} for i, docid in enumerate(DOCIDS)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(one) + "\n" for one in texts))
    (folder / "queries.jsonl").write_text("".join(json.dumps({"_id": qid, "text": f"what is number {qid}?"}) + "\n" for qid in QUERIES))
    grades = "".join(f"{qid}\t{docid}\t{i * (7 + q) % 4}\n" for (q, qid), (i, docid) in product(enumerate(QUERIES), enumerate(DOCIDS)))
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + grades)
    lines = "".join(f"{qid} Q0 {docid} {i} {-i} bm25\n" for qid, (i, docid) in product(QUERIES, enumerate(DOCIDS, 1)))
    (folder / "runs/bm25.trec.gz").write_bytes(gzip.compress(lines.encode()))
    return folder
