"""RankLLM's JSON: requests and results, one query a line or in one array, so that both tools can read each other's files.

`{"query": {"text", "qid"}, "candidates": [{"docid", "score", "doc": {…}}]}`. Read and written a query at a time, whatever the size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firstrank.reranker.errors import FormatError
from firstrank.reranker.runs.files import FLOAT32_LIMIT, Source, identifier, name_of, string_field, whole_file
from firstrank.reranker.runs.ids import one_word
from firstrank.reranker.runs.queries import warn_of_empty
from firstrank.reranker.runs.records import json_lines
from firstrank.reranker.runs.trec import Ranked, Run
from firstrank.reranker.types import Passage, Request

BODY = ("text", "segment", "contents", "content", "body", "passage")
"""where RankLLM looks for a passage's text, in its order"""

_LINES = (".jsonl", ".ndjson")


class ScoredRequest(NamedTuple):
    """A request and its candidates' scores in the first stage, in the order of `request.passages`."""

    request: Request
    scores: NDArray[np.float32]


def read_requests(source: Source) -> Iterator[ScoredRequest]:
    """The requests of a file; the order of its candidates is the first stage's.

    Where no candidate of a query has a score, its place stands in: 0, -1, -2 …. Raises FormatError for a malformed line, a
    qid that comes twice, a docid that a query has twice, a score that is not finite, and an empty file.
    """
    for _, scored in _numbered(source):
        yield scored


def read_lists(source: Source, *, words: bool = False) -> Run:
    """The lists of a file's requests without their texts, in the order in which they stand there; warns of empty queries.

    Raises what `read_requests` raises and, where ids are to be `words`, FormatError for one that a TREC run cannot hold.
    """
    name, empty = name_of(source), dict[str, int]()

    def lists() -> Iterator[Ranked]:
        for line, (request, scores) in _numbered(source):
            docids = tuple(passage.docid for passage in request.passages)
            for one in (request.qid, *docids) if words else ():
                one_word(name, line, one)
            if not request.query.strip():
                empty[request.qid] = line
            yield Ranked(request.qid, docids, scores)

    run = Run(lists(), name=name)
    if empty:
        warn_of_empty(f"{name}:{next(iter(empty.values()))}", list(empty))
    return run


def write_requests(path: str | os.PathLike[str], scored: Iterable[ScoredRequest]) -> None:
    """Writes requests (or results: the form is one), whole or not at all: one a line or, where the name ends in `.json`, in one array."""
    lines = (json.dumps(_object(request, scores), ensure_ascii=False, allow_nan=False) for request, scores in scored)
    with whole_file(path) as file:
        if is_json(path) and not is_jsonl(path):
            file.write("[")
            file.writelines(f"{',' if place else ''}\n{line}" for place, line in enumerate(lines))
            file.write("\n]\n")
        else:
            file.writelines(f"{line}\n" for line in lines)


def is_json(path: str | os.PathLike[str]) -> bool:
    """Whether a file's name promises JSON, in either form, packed or not."""
    return Path(os.fspath(path).removesuffix(".gz")).suffix.lower() in (".json", *_LINES)


def is_jsonl(path: str | os.PathLike[str]) -> bool:
    return Path(os.fspath(path).removesuffix(".gz")).suffix.lower() in _LINES


def _numbered(source: Source) -> Iterator[tuple[int, ScoredRequest]]:
    """(line, request) of each."""
    name, seen = name_of(source), set[str]()
    for number, found in json_lines(source):
        scored = _request(name, number, found)
        if scored.request.qid in seen:
            raise FormatError(name, number, f"query {scored.request.qid!r} comes twice")
        seen.add(scored.request.qid)
        yield number, scored
    if not seen:
        raise FormatError(name, 1, 'no requests: {"query": {"text", "qid"}, "candidates": […]} is expected on each line')


def _object(request: Request, scores: NDArray[np.float32]) -> dict[str, Any]:
    return {
        "query": {"text": request.query, "qid": request.qid},
        "candidates": [
            {"docid": passage.docid, "score": score, "doc": ({"title": passage.title} if passage.title else {}) | {"text": passage.text}}
            for passage, score in zip(request.passages, scores.tolist(), strict=True)
        ],
    }


def _request(name: str, number: int, found: dict[str, Any]) -> ScoredRequest:
    query, candidates = found.get("query"), found.get("candidates")
    if not isinstance(query, dict) or not isinstance(candidates, list):
        raise FormatError(name, number, 'an object "query" and a list "candidates" are expected')
    qid, text = identifier(name, number, query, ("qid",)), string_field(name, number, query, ("text",))
    passages = tuple(_passage(name, number, candidate) for candidate in candidates)
    twice = len(passages) - len({passage.docid for passage in passages})
    if twice:
        raise FormatError(name, number, f"query {qid!r} has {twice} docids that came before in its list")
    return ScoredRequest(Request(text, passages, qid), _scores(name, number, candidates))


def _passage(name: str, number: int, candidate: Any) -> Passage:
    if not isinstance(candidate, dict) or not isinstance(candidate.get("doc"), dict):
        raise FormatError(name, number, 'a candidate is an object with "docid", "score" and an object "doc"')
    doc = candidate["doc"]
    title = string_field(name, number, doc, ("title",)) if "title" in doc else ""
    return Passage(identifier(name, number, candidate, ("docid",)), string_field(name, number, doc, BODY), title)


def _scores(name: str, number: int, candidates: list[dict[str, Any]]) -> NDArray[np.float32]:
    given = [candidate.get("score") for candidate in candidates]
    if all(score is None for score in given):
        return -np.arange(len(given), dtype=np.float32)
    for score, candidate in zip(given, candidates, strict=True):
        if not isinstance(score, (int, float)) or isinstance(score, bool) or not abs(score) < FLOAT32_LIMIT:
            raise FormatError(name, number, f"the score of {candidate['docid']!r} is {score!r}, not a finite float32")
    return np.array(given, np.float32)
