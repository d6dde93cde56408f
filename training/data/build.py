"""Writes built examples to a file, whole or not at all, and checks files of examples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from firstrank.reranker.errors import FormatError, InputError
from firstrank.reranker.runs.files import Source, whole_file
from firstrank.reranker.runs.rankllm import read_requests
from firstrank.reranker.types import Request
from firstrank.training.data.selection import Selection
from firstrank.training.data.teacher import Taught
from firstrank.training.samples.examples import NO_EXAMPLES, Example, as_json, example_lines, example_of


def write_examples(path: Path, examples: Iterable[Example], selection: Selection) -> None:
    """Raises InputError where nothing is left to write, and says what was dropped."""
    with whole_file(path) as file:
        for example in examples:
            file.write(json.dumps(as_json(example), ensure_ascii=False) + "\n")
            selection.keep()
        if not selection.kept:
            reasons = "; ".join(f"{why} ({found['count']})" for why, found in selection.report()["reasons"].items())
            raise InputError(f"{path}: no example was built: {reasons or 'the input is empty'}")


def from_rankllm(ranked: Source, first_stage: Source | None, selection: Selection, seed: int = 0) -> Iterator[Taught]:
    """RankLLM's result file: its candidates stand best first. Their first-stage order comes from its request file, else by chance."""
    before = {} if first_stage is None else {request.qid: request for request, _ in read_requests(first_stage)}
    for request, _ in read_requests(ranked):
        order = tuple(passage.docid for passage in request.passages)
        if first_stage is None:
            rng = np.random.default_rng([seed, *request.qid.encode()])
            shown = tuple(request.passages[i] for i in rng.permutation(len(order)).tolist())
        elif request.qid not in before:
            selection.drop("the request file lacks the query", request.qid)
            continue
        else:
            shown = tuple(passage for passage in before[request.qid].passages if passage.docid in set(order))
            order = tuple(docid for docid in order if docid in {passage.docid for passage in shown})
        yield Taught(Request(request.query, shown, request.qid), order, 0)


def check(path: Path) -> dict[str, Any]:
    """Every line of a file of examples, read as training reads it: counts, and what is wrong with the lines that are.

    An example in which nothing is better than anything else is no error, but teaches nothing: it is counted as a warning.
    """
    errors, selection = list[str](), Selection()
    lengths, words, queries, empty = list[int](), list[int](), set[str](), 0
    for example in _readable(path, errors, selection):
        queries.add(example.qid)
        lengths.append(len(example.passages))
        words += [len(passage.text.split()) for passage in example.passages]
        empty += sum(not passage.text.strip() and not passage.title.strip() for passage in example.passages)
    return {
        "examples": selection.kept,
        "queries": len(queries),
        "passages": sum(lengths),
        "passages of an example": _spread(lengths),
        "words of a passage": _spread(words),
        "empty passages": empty,
        "warnings": selection.report()["reasons"],
        "errors": errors,
    }


def _readable(path: Path, errors: list[str], selection: Selection) -> Iterator[Example]:
    """The examples that can be read; what is wrong with the others goes into `errors`."""
    try:
        for number, _, line in example_lines(path):
            try:
                example = example_of(path, number, line)
            except FormatError as error:
                errors.append(str(error))
                continue
            selection.keep()
            if not example.tells:
                selection.drop("nothing is better than anything else", f"{path}:{number}")
            yield example
    except FormatError as error:  # compressed
        errors.append(str(error))
    if not (selection.kept or errors):
        errors.append(f"{path}:1: {NO_EXAMPLES}")


def _spread(values: list[int]) -> dict[str, float]:
    if not values:
        return {}
    low, middle, high = np.percentile(values, [0, 50, 100]).tolist()
    return {"least": low, "median": middle, "most": high}
