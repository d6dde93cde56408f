"""The command line of a benchmark: `python -m benchmarks.NAME`, with a subcommand for each question where it answers several."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from pathlib import Path


def parser_of(name: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the module's docstring."""
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_candidates(parser: argparse.ArgumentParser) -> None:
    """What `benchmarks.prior.read_requests` reads: a collection, a run over it, and how much of both."""
    parser.add_argument("--collection", required=True, help="a BEIR folder")
    parser.add_argument("--split")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--queries", type=int, help="the first so many")
    parser.add_argument("--candidates", type=int, default=100)


def add_question(
    questions: argparse._SubParsersAction, answer: Callable[[argparse.Namespace], int | str | None]
) -> argparse.ArgumentParser:
    """A subcommand with the name and the docstring of the function that answers it; the parsed options have it as `answer`."""
    doc = inspect.getdoc(answer)
    asked: argparse.ArgumentParser = questions.add_parser(
        answer.__name__, help=(doc or "").partition("\n")[0], description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.set_defaults(answer=answer)
    return asked
