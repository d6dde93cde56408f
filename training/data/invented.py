"""Queries made of the corpus itself, for collections that have too few: titles and first sentences whose passages lose them, and a
passage's telling words. Those that a model writes: `questions`."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.files import whole_file
from firstrank.reranker.types import Passage

_WORD = re.compile(r"[a-z][a-z-]{2,}")
_SENTENCE = re.compile(r"(.{20,200}?)[.?!]\s+(?=[A-Z])(.+)", re.DOTALL)
"""a first sentence, and the rest"""
_REST = 8
"""words that the rest has at least"""
_TELLING = 8
"""words of a passage that keywords are drawn from"""


class Invented(NamedTuple):
    """A query, and the passage that it was made of, as the corpus is to hold it."""

    qid: str
    query: str
    passage: Passage


def titles(corpus: Iterable[Passage]) -> Iterator[Invented]:
    """A passage's title asks for its text."""
    for passage in corpus:
        if passage.title.strip() and passage.text.strip():
            yield Invented(f"title-{passage.docid}", passage.title.strip(), Passage(passage.docid, passage.text))


def sentences(corpus: Iterable[Passage]) -> Iterator[Invented]:
    """A passage's first sentence asks for the rest (the inverse cloze task, Lee et al., ACL 2019)."""
    for passage in corpus:
        cut = _SENTENCE.fullmatch(passage.text.strip())
        if cut and len(cut[2].split()) >= _REST:
            yield Invented(f"sentence-{passage.docid}", cut[1], Passage(passage.docid, cut[2], passage.title))


def keywords(corpus: Sequence[Passage], seed: int) -> Iterator[Invented]:
    """One to four of the words that tell a passage apart (term frequency · inverse document frequency), in its order.

    A word that no other passage has asks for nothing that a ranking could show, and is not taken.
    """
    counted = [Counter(_WORD.findall(f"{passage.title} {passage.text}".lower())) for passage in corpus]
    frequency = Counter(word for counts in counted for word in counts)
    rng = np.random.default_rng(seed)
    for passage, counts in zip(corpus, counted, strict=True):
        weights = {word: times * math.log(len(corpus) / frequency[word]) for word, times in counts.items() if frequency[word] > 1}
        telling = sorted(weights, key=lambda word: (-weights[word], word))[:_TELLING]
        if len(telling) < 4:
            continue
        drawn = set(rng.choice(telling, int(rng.integers(1, 5)), replace=False).tolist())
        yield Invented(f"words-{passage.docid}", " ".join(word for word in counts if word in drawn), passage)


KINDS: Mapping[str, Callable[[Sequence[Passage], int], Iterator[Invented]]] = {
    "titles": lambda corpus, _: titles(corpus),
    "sentences": lambda corpus, _: sentences(corpus),
    "keywords": keywords,
}
"""corpus, seed -> what can be asked of it"""


def some(invented: Iterable[Invented], count: int, seed: int) -> list[Invented]:
    """`count` of them by chance, in their order."""
    found = list(invented)
    kept = np.random.default_rng(seed).choice(len(found), min(count, len(found)), replace=False)
    return [found[i] for i in sorted(kept.tolist())]


def write(folder: Path, asked: Sequence[Invented], corpus: Iterable[Passage]) -> None:
    """A collection in BEIR's layout, with `qrels/train.tsv`. Raises InputError for a folder that cannot be made."""
    try:
        (folder / "qrels").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: a collection cannot be written there: {error.strerror or error}") from error
    with whole_file(folder / "corpus.jsonl") as lines:
        for passage in corpus:
            lines.write(json.dumps({"_id": passage.docid, "title": passage.title, "text": passage.text}, ensure_ascii=False) + "\n")
    with whole_file(folder / "queries.jsonl") as lines:
        for one in asked:
            lines.write(json.dumps({"_id": one.qid, "text": one.query}, ensure_ascii=False) + "\n")
    with whole_file(folder / "qrels" / "train.tsv") as lines:
        lines.write("query-id\tcorpus-id\tscore\n")
        lines.writelines(f"{one.qid}\t{one.passage.docid}\t1\n" for one in asked)
