"""What is ranked when time is measured: the head of a run over a dataset, or, with nothing at hand, the standard library's docstrings."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path

from firstrank.eval.datasets import open_dataset
from firstrank.reranker.batch.job import ranked_in
from firstrank.reranker.batch.tasks import RunTasks
from firstrank.reranker.errors import InputError
from firstrank.reranker.types import Passage, Request

# fmt: off
_MODULES = (
    "argparse", "ast", "asyncio", "collections", "concurrent.futures", "configparser", "contextlib", "csv", "datetime", "decimal",
    "difflib", "email.message", "enum", "fractions", "functools", "hashlib", "heapq", "http.client", "inspect", "io", "ipaddress", "json",
    "logging", "mailbox", "math", "multiprocessing", "optparse", "os", "pathlib", "pickle", "random", "re", "selectors", "shutil",
    "socket", "sqlite3", "ssl", "statistics", "string", "struct", "subprocess", "tarfile", "tempfile", "textwrap", "threading", "time",
    "traceback", "typing", "unittest", "urllib.parse", "urllib.request", "uuid", "xml.etree.ElementTree", "zipfile",
)
# fmt: on
_WORDS = 30


def of_run(source: str, split: str | None, run: Path, count: int, depth: int) -> list[Request]:
    """The first `count` judged queries of a run, with `depth` candidates each. Raises what reading them raises."""
    dataset = open_dataset(source, split)
    candidates = dataset.judged(ranked_in(run))
    texts = dataset.texts(lambda: candidates.docids(depth))
    try:
        return [task.request for task in islice(RunTasks(candidates, dataset.queries, texts, depth), count)]
    finally:
        texts.close()


def of_docstrings(count: int, depth: int) -> list[Request]:
    """`count` queries over docstrings of the running interpreter's library: right for timing, for its prompts are of real text.

    The query is a docstring's first line, its candidates are that docstring and others, drawn with a fixed seed.
    """
    passages = list(_docstrings())
    if depth > len(passages):
        raise InputError(f"--depth {depth}: the standard library gives {len(passages)} passages; give --dataset and --run for more")
    draw = random.Random(0)
    asked = draw.sample(passages, min(count, len(passages)))
    return [Request(one.text.partition("\n")[0], _candidates(one, passages, depth, draw), f"q{i}") for i, one in enumerate(asked)]


def _candidates(relevant: Passage, passages: list[Passage], depth: int, draw: random.Random) -> tuple[Passage, ...]:
    others = [passage for passage in draw.sample(passages, depth) if passage != relevant]
    chosen = [relevant, *others[: depth - 1]]
    draw.shuffle(chosen)
    return tuple(chosen)


def _docstrings() -> Iterator[Passage]:
    """The docstrings of public classes and functions, and of the classes' own methods, that have a few dozen words."""
    seen = set()
    for name in _MODULES:
        module = import_module(name)
        for path, thing in _public(module, name):
            text = inspect.getdoc(thing) or ""
            if len(text.split()) >= _WORDS and text not in seen:
                seen.add(text)
                yield Passage(path, text)


def _public(owner: object, name: str) -> Iterator[tuple[str, object]]:
    for key, thing in sorted(vars(owner).items()):
        if not key.startswith("_") and (inspect.isclass(thing) or inspect.isroutine(thing)):
            yield f"{name}.{key}", thing
            if inspect.isclass(thing) and inspect.ismodule(owner):
                yield from _public(thing, f"{name}.{key}")
