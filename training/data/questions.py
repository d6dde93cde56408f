"""Queries that a generative model writes of passages, and which of them are kept.

After InPars (arXiv 2202.05144: a prompt with a few examples, the likeliest queries kept) and Promptagator (arXiv 2209.11755: a query is
kept if a search for it finds the passage that it was written of).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from firstrank.reranker.batch.journal import Journal
from firstrank.reranker.config import config_dir, explained, read_yaml
from firstrank.reranker.errors import InputError
from firstrank.reranker.retrievers.bm25 import BM25
from firstrank.reranker.runs.queries import Query
from firstrank.reranker.types import Passage
from firstrank.training.data.invented import Invented
from firstrank.training.data.selection import Selection

_LEAST = 8
"""words of a passage that is asked about"""
_COPIED = 8
"""words that a query may have in common with its passage, in a row and alone"""
_QUOTES = "\"'`*“”‘’«» "
_NAMES = ("query:", "question:")


class Shown(BaseModel):
    """An example of a prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    passage: str = Field(min_length=1)
    query: str = Field(min_length=1, pattern=r"^[^\n]+$", description="one line")


class QuestionPrompt(BaseModel):
    """What the model is shown: a line of what is asked for, examples, and a passage whose query is to be written."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    instruction: str = Field(min_length=1, description="a line or a few of what is asked for")
    examples: tuple[Shown, ...] = Field(default=(), description="each a `passage` and its `query`")

    def of(self, text: str) -> str:
        """The prompt of a passage; the query's line is what comes next."""
        shown = "".join(f"\n\nPassage: {one.passage}\nQuery: {one.query}" for one in self.examples)
        return f"{self.instruction}{shown}\n\nPassage: {text}\nQuery:"


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote of a passage."""

    docid: str
    text: str
    likelihood: float | None = None
    """the mean log probability of the query's tokens, where the model tells"""
    cost: float = 0.0
    """US dollars"""
    fault: str = ""
    """why there is no query"""


@dataclass(frozen=True, slots=True)
class Asking:
    """How queries are asked for, and which are kept."""

    prompt: QuestionPrompt
    words: int = 200
    """of a passage that the model reads"""
    round_trip: int = 20
    """BM25 must find the passage among so many; 0 asks for nothing"""
    likeliest: int | None = None
    """so many at most, those that the model found likeliest"""

    def of(self, passage: Passage) -> str:
        """The prompt of a passage: its title and first words, on one line."""
        return self.prompt.of(" ".join(f"{passage.title} {passage.text}".split()[: self.words]))

    def facts(self) -> dict[str, str]:
        """What must be the same for a journal to go on; which queries are kept may change."""
        return {"--prompt": repr(self.prompt), "--words": str(self.words), "--likeliest": str(self.likeliest is not None)}

    def kept(self, written: Iterable[tuple[Passage, Written]], index: BM25 | None, selection: Selection) -> list[Invented]:
        """The queries that are left, in the order of their passages; what is dropped is counted."""
        asked = well_written(written, self.prompt, selection)
        if index is not None:
            asked = found_again(asked, index, self.round_trip, selection)
        kept = likeliest(asked, self.likeliest, selection)
        for _ in kept:
            selection.keep()
        return kept


Write = Callable[[Sequence[Passage], Container[str]], Iterator[Written]]
"""passages, docids that need no query any more -> what a model wrote of the others, as it comes"""


def read_prompt(name: str) -> QuestionPrompt:
    """`configs/questions/NAME.yaml`, or a YAML file. Raises InputError for one that is not there and for a malformed one."""
    folder, given = config_dir() / "questions", Path(name).expanduser()
    path = given if given.is_file() else folder / f"{name}.yaml"
    if not path.is_file():
        raise InputError(
            f"--prompt {name}: no such file or name; names are {', '.join(sorted(file.stem for file in folder.glob('*.yaml')))}"
        )
    try:
        return QuestionPrompt.model_validate(read_yaml(path))
    except ValidationError as error:
        raise InputError(f"{path}: {explained(error)}") from error


def drawn(corpus: Iterable[Passage], count: int, seed: int) -> list[Passage]:
    """`count` passages with enough words, by chance. A larger count begins with the passages of a smaller one.

    Raises InputError for a docid that comes twice.
    """
    found = [passage for passage in corpus if len(passage.text.split()) >= _LEAST]
    if len({passage.docid for passage in found}) < len(found):
        raise InputError("the corpus holds a docid twice")
    order = np.random.default_rng(seed).permutation(len(found))
    return [found[i] for i in order[:count].tolist()]


def remembered(write: Write, passages: Sequence[Passage], journal: Journal) -> Iterator[tuple[Passage, Written]]:
    """What was written, in the order of the passages; what the journal has is not written again, and what is new goes into it."""
    if any(passage.docid not in journal for passage in passages):
        for new in write(passages, journal):
            journal.add(new.docid, asdict(new))
    for passage in passages:
        if passage.docid in journal:
            yield passage, _written_of(journal[passage.docid])


def spent(journal: Journal) -> float:
    """US dollars, of all that the journal has."""
    return float(sum(journal[docid]["cost"] for docid in journal))


def _written_of(entry: dict[str, Any]) -> Written:
    return Written(**{name: value for name, value in entry.items() if name != "qid"})


def well_written(
    written: Iterable[tuple[Passage, Written]], prompt: QuestionPrompt, selection: Selection
) -> Iterator[tuple[Invented, float | None]]:
    """Queries with their likelihoods; what is none is dropped and counted."""
    known = {one.query.casefold() for one in prompt.examples}
    seen: set[str] = set()
    for passage, one in written:
        query = query_in(one.text)
        if why := one.fault or _fault(query, passage, known, seen):
            selection.drop(why, passage.docid)
            continue
        seen.add(query.casefold())
        yield Invented(f"question-{passage.docid}", query, passage), one.likelihood


def query_in(text: str) -> str:
    """The first line that says something, without a name before it and quotes around it."""
    line = next(filter(None, map(str.strip, text.splitlines())), "").strip(_QUOTES)
    for name in _NAMES:
        if line.casefold().startswith(name):
            line = line[len(name) :]
    return " ".join(line.strip(_QUOTES).split())


def _fault(query: str, passage: Passage, known: Container[str], seen: Container[str]) -> str:
    if not query:
        return "the model wrote nothing"
    if not any(map(str.isalnum, query)):
        return "the query has no word"
    if query.casefold() in known:
        return "the query is an example's"
    if query.casefold() in seen:
        return "the same query was written of another passage"
    whole = " ".join(f"{passage.title} {passage.text}".split())
    if len(query.split()) > _COPIED and query.rstrip(".?!").casefold() in whole.casefold():
        return "the query is copied from the passage"
    return ""


def found_again(
    asked: Iterable[tuple[Invented, float | None]], index: BM25, depth: int, selection: Selection
) -> Iterator[tuple[Invented, float | None]]:
    """Those whose own passage is among the first `depth` that BM25 finds for them: round-trip consistency."""
    for one, likelihood in asked:
        [ranked] = index.search([Query(one.qid, one.query)], depth)
        if one.passage.docid in ranked.docids:
            yield one, likelihood
        else:
            selection.drop(f"BM25 does not find the passage among the first {depth}", one.passage.docid)


def likeliest(asked: Iterable[tuple[Invented, float | None]], most: int | None, selection: Selection) -> list[Invented]:
    """The `most` that the model found likeliest, in their order; all without a number."""
    found = list(asked)
    best = sorted(range(len(found)), key=lambda i: -(found[i][1] or 0.0))[:most]
    for i in sorted(set(range(len(found))) - set(best)):
        selection.drop(f"less likely than the {most} that are kept", found[i][0].passage.docid)
    return [found[i][0] for i in sorted(best)]
