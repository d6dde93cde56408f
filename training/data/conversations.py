"""Examples from RankZephyr-style training conversations: a prompt with labelled passages, and the answer `[C] > [A] > [B]`.

A line is `{"conversations": [{"from"|"role", "value"|"content"}, …]}` (system turns are skipped), or a list already parsed:
`{"qid"?, "query", "passages": [text …], "permutation": [1-based, best first]}`. Labels may be letters or numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from firstrank.reranker.errors import InputError
from firstrank.reranker.prompt.orderings import parse
from firstrank.reranker.runs.files import Source
from firstrank.reranker.runs.records import json_lines
from firstrank.reranker.types import Passage
from firstrank.training.data.selection import Selection
from firstrank.training.samples.examples import BEST, Example

_PASSAGE = re.compile(r"^\[([A-Za-z]{1,2}|\d+)\][ \t]?(.*?)(?=^\[(?:[A-Za-z]{1,2}|\d+)\]|\Z)", re.M | re.S)
_QUERY = re.compile(r"^Search Query:[ \t]*(.*?)\.?[ \t]*$", re.M)
_LINES = re.compile(r"^Search Query:[ \t]*((?:(?!^Search Query:).)*?)\.?\s*(?=\nRank the \d+ passages)", re.M | re.S)
"""a query of several lines, up to what the prompt says after it"""
_HUMAN, _MODEL = {"human", "user"}, {"gpt", "assistant"}


DATASETS = "datasets:"


def rows_of(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number from 1, row) of a file, or of `datasets:ID[:SPLIT]` (train, unless it says) by Hugging Face's library.

    Raises FormatError for a file that is no JSON, InputError for a data set that cannot be had.
    """
    if not (isinstance(source, str) and source.startswith(DATASETS)):
        yield from json_lines(source)
        return
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise InputError(f"{source}: needs the package 'datasets': pip install datasets") from error
    name, _, split = source.removeprefix(DATASETS).partition(":")
    try:
        rows = load_dataset(name, split=split or "train")
    except Exception as error:  # what a data set's own code and the network raise has no common root
        raise InputError(f"{source}: cannot be had: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from error
    yield from enumerate(map(dict, rows), 1)


def from_conversations(rows: Iterable[tuple[int, dict[str, Any]]], selection: Selection) -> Iterator[Example]:
    """Examples with complete rankings, of `rows_of` a source. A row that cannot be read as one is dropped and counted."""
    for number, found in rows:
        try:
            example = _example(found, number)
        except ValueError as why:
            selection.drop(str(why), f"line {number}")
        else:
            yield example


def _example(found: dict[str, Any], number: int) -> Example:
    if "permutation" in found:
        return _parsed(found, number)
    turns = found.get("conversations", found.get("messages"))
    if not isinstance(turns, list):
        raise ValueError("neither 'conversations' nor 'permutation'")
    said = {turn.get("from", turn.get("role")): turn.get("value", turn.get("content")) for turn in turns if isinstance(turn, dict)}
    prompt = next((text for who, text in said.items() if who in _HUMAN), None)
    answer = next((text for who, text in said.items() if who in _MODEL), None)
    if not isinstance(prompt, str) or not isinstance(answer, str):
        raise ValueError("a turn of the user and one of the model are expected")
    query = _LINES.search(prompt) or _QUERY.search(prompt)
    if query is None:
        raise ValueError("the prompt has no line 'Search Query: …'")
    body = prompt[: query.start()]
    labelled = [(match[1], match[2].strip()) for match in _PASSAGE.finditer(body)]
    return _ranked(str(found.get("id", number)), query[1].strip(), labelled, answer)


def _ranked(qid: str, query: str, labelled: list[tuple[str, str]], answer: str) -> Example:
    labels = [label for label, _ in labelled]
    if len(labels) < 2:
        raise ValueError("fewer than two labelled passages in the prompt")
    if len(set(labels)) < len(labels):
        raise ValueError("a label is there twice in the prompt")
    order, faults = parse(answer, labels)
    if faults.foreign:
        raise ValueError("the answer has a label that no passage has")
    if faults.missing:
        raise ValueError("the answer leaves passages out")
    if faults.repeated:
        raise ValueError("the answer has a label twice")
    return _of(qid, query, [text for _, text in labelled], list(order))


def _parsed(found: dict[str, Any], number: int) -> Example:
    query, texts, permutation = found.get("query"), found.get("passages"), found["permutation"]
    if not isinstance(query, str) or not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("'query' must be a string and 'passages' a list of strings")
    if not isinstance(permutation, list) or sorted(map(str, permutation)) != sorted(str(i) for i in range(1, len(texts) + 1)):
        raise ValueError("'permutation' does not hold each passage once")
    return _of(str(found.get("id", found.get("qid", number))), query, texts, [int(i) - 1 for i in permutation])


def _of(qid: str, query: str, texts: list[str], order: list[int]) -> Example:
    """`order` lists places, best first."""
    passages = tuple(Passage(f"{qid}-{i}", text) for i, text in enumerate(texts, 1))
    rank = {place: rank for rank, place in enumerate(order)}
    return Example(qid, query, passages, tuple(BEST * (1.0 - rank[i] / max(len(texts) - 1, 1)) for i in range(len(texts))))
