"""Runs, qrels, queries and corpora, valid and mutated, as Firstrank reads them and as the field's other readers do.

Of 2,000 files each is read by both: they hold the same, or Firstrank refuses with a sentence of its own. What Firstrank reads and the
others refuse must be a form that it documents.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import re
from collections.abc import Callable
from typing import Any

import ir_measures
import numpy as np
import pytest
import pytrec_eval

from firstrank.reranker.errors import FormatError
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.queries import read_queries
from firstrank.reranker.runs.trec import read_run
from firstrank.reranker.texts.sources import read_passages

SEEDS = 500
"""files of each kind"""

IDS = ["q1", "1", "01", "001", "D12", "a:b", "urn:id:42", "x#y_1", "é", "蜂", "msmarco_passage_00_0", "Ab", "[Q]", '"', "0"]
TEXTS = ["what is it", "größer?", "蜂蜜", "a  b", "", 'say "no"', "<b> & c", "\\n", "tab", "\U0001f41d", "1"]
NOISE = [" ", "\t", "\n", "\r", "0", ".", "-", "e5", "nan", "inf", '"', "{", "]", ",", "x", "\x00", "\ufeff", "é", "1_0", "//", "\r\n\n"]


def run_text(draw: random.Random) -> str:
    rows = [(qid, docid) for qid in draw.sample(IDS, 3) for docid in draw.sample(IDS, draw.randint(1, 5))]
    between = draw.choice([" ", "\t", "  "])
    lines = [
        between.join((qid, "Q0", docid, str(rank), f"{draw.uniform(-9, 99):.{draw.randint(0, 7)}f}", "tag"))
        for rank, (qid, docid) in enumerate(rows)
    ]
    return _joined(draw, lines)


def qrels_text(draw: random.Random) -> str:
    rows = [(qid, docid, draw.choice(["0", "1", "3", "-1"])) for qid in draw.sample(IDS, 3) for docid in draw.sample(IDS, 3)]
    between = draw.choice([" ", "\t"])
    return _joined(draw, [between.join((qid, "0", docid, grade)) for qid, docid, grade in rows])


def queries_text(draw: random.Random) -> str:
    rows = [(qid, draw.choice(TEXTS)) for qid in draw.sample(IDS, 4)]
    if draw.random() < 0.5:
        return _joined(draw, [f"{qid}\t{text}" for qid, text in rows])
    return _joined(draw, [json.dumps({"_id": qid, "text": text}, ensure_ascii=draw.random() < 0.5) for qid, text in rows])


def corpus_text(draw: random.Random) -> str:
    rows = [(docid, draw.choice(TEXTS), draw.choice(TEXTS)) for docid in draw.sample(IDS, 4)]
    if draw.random() < 0.5:
        return _joined(draw, [f"{docid}\t{text}\t{title}" for docid, text, title in rows])
    return _joined(draw, [json.dumps({"_id": docid, "text": text, "title": title}) for docid, text, title in rows])


def _joined(draw: random.Random, lines: list[str]) -> str:
    return draw.choice(["\n", "\n", "\r\n"]).join(lines) + draw.choice(["\n", ""])


def mutated(draw: random.Random, text: str) -> str:
    for _ in range(draw.choice([0, 1, 1, 2, 4])):
        place = draw.randrange(len(text) + 1)
        text = text[:place] + draw.choice(NOISE) + text[place + draw.choice([0, 0, 1, 3]) :]
    return text


def our_run(data: bytes) -> Any:
    return {qid: dict(zip(ranked.docids, ranked.scores.tolist(), strict=True)) for qid, ranked in read_run(io.BytesIO(data)).items()}


def other_run(text: str) -> Any:
    found: dict[str, dict[str, float]] = {}
    for row in ir_measures.read_trec_run(io.StringIO(text)):
        found.setdefault(row.query_id, {})[row.doc_id] = float.fromhex(row.score.hex())
    with_pytrec = pytrec_eval.parse_run(io.StringIO(text))
    assert found == with_pytrec
    return found


def other_qrels(text: str) -> Any:
    found: dict[str, dict[str, int]] = {}
    for row in ir_measures.read_trec_qrels(io.StringIO(text)):
        found.setdefault(row.query_id, {})[row.doc_id] = row.relevance
    assert found == pytrec_eval.parse_qrel(io.StringIO(text))
    return found


def other_queries(text: str) -> Any:
    """As ir_datasets reads TSV and JSONL (its readers need a download to be made, so their few lines are here)."""
    if text.lstrip("\ufeff\r\n\t ").startswith("{"):
        return {str(found["_id"]): found["text"] for found in map(json.loads, filter(str.strip, text.split("\n")))}
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {qid.strip(): said.strip() for qid, said in (row for row in rows if row)}


def other_corpus(text: str) -> Any:
    if text.lstrip("\ufeff\r\n\t ").startswith("{"):
        found = map(json.loads, filter(str.strip, text.split("\n")))
        return {str(one["_id"]): (one["text"], one.get("title", "")) for one in found}
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {row[0].strip(): (row[1].strip(), row[2].strip() if len(row) == 3 else "") for row in rows if row}


KINDS: dict[str, tuple[Callable[[random.Random], str], Callable[[bytes], Any], Callable[[str], Any]]] = {
    "run": (run_text, our_run, other_run),
    "qrels": (qrels_text, lambda data: read_qrels(io.BytesIO(data)), other_qrels),
    "queries": (queries_text, lambda data: {query.qid: query.text for query in read_queries(io.BytesIO(data))}, other_queries),
    "corpus": (corpus_text, lambda data: {one.docid: (one.text, one.title) for one in read_passages(io.BytesIO(data))}, other_corpus),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_content_or_a_sentence(kind: str) -> None:
    make, ours, others = KINDS[kind]
    same, refused, alone = 0, 0, 0
    for seed in range(SEEDS):
        draw = random.Random(f"{kind} {seed}")
        text = mutated(draw, make(draw))
        try:
            found = ours(text.encode())
        except FormatError:
            refused += 1
            continue
        try:
            expected = others(re.sub("^\ufeff+", "", text, flags=re.MULTILINE))  # a mark before a line is none of its letters, we say
        except (ValueError, KeyError, IndexError, AssertionError, TypeError, csv.Error, AttributeError):
            alone += 1
            continue
        assert _rounded(found) == _rounded(expected), f"seed {seed}: {text!r}"
        same += 1
    assert same > SEEDS / 5
    assert refused > SEEDS / 10
    assert alone < SEEDS / 10, "Firstrank reads what the others refuse more often than it documents"


@pytest.mark.parametrize("kind", KINDS)
def test_a_valid_file_is_read_by_both_also_packed(kind: str, tmp_path: Any) -> None:
    make, _, others = KINDS[kind]
    text = make(random.Random(kind))
    path = tmp_path / "packed"
    path.write_bytes(gzip.compress(text.encode()))
    readers: dict[str, Callable[[], Any]] = {
        "run": lambda: {qid: dict(zip(one.docids, one.scores.tolist(), strict=True)) for qid, one in read_run(path).items()},
        "qrels": lambda: read_qrels(path),
        "queries": lambda: {query.qid: query.text for query in read_queries(path)},
        "corpus": lambda: {one.docid: (one.text, one.title) for one in read_passages(path)},
    }
    assert _rounded(readers[kind]()) == _rounded(others(text))


def _rounded(found: Any) -> Any:
    """Scores as float32, as trec_eval and Firstrank compare them; texts with their ends stripped."""
    if isinstance(found, dict):
        return {key: _rounded(value) for key, value in found.items()}
    if isinstance(found, float):
        return float(np.float32(found))
    if isinstance(found, tuple):
        return tuple(map(_rounded, found))
    return (found or "").strip() if found is None or isinstance(found, str) else found
