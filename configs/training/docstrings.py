"""A corpus of documentation: python docstrings.py WHEELS WITHOUT.jsonl >corpus.jsonl

Reads the docstrings of a folder of wheels, which are neither installed nor imported. A passage's title is the qualified name of a public
function, class or method, its text the docstring. One that begins like another, or like a passage of WITHOUT, is left out, and so is a
name's second definition: what `examples/pydocs` judges is not to be trained on.
"""

import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from zipfile import ZipFile

_LEAST, _MOST, _BEGINNING = 12, 120, 12
"""words of a docstring that is worth a passage, words kept, words that tell docstrings apart"""
_ASIDE = re.compile(r"_.*|tests?|testing|.*_tests?|conftest|benchmarks?|vendor|externals?|migrations|locale|conf|setup")
_MARKUP = re.compile(r"^\s*[-=~]{3,}\s*$|:\w+:(?=`)|`+~?|\b[A-Z]\{|(?<=\w)\}", re.MULTILINE)
"""rules under headings; reStructuredText's and epytext's marks around words"""


def docstrings(wheels: Path) -> Iterator[tuple[str, str]]:
    """Qualified name, text."""
    for wheel in sorted(wheels.glob("*.whl")):
        with ZipFile(wheel) as files:
            for name in sorted(files.namelist()):
                module = name.removesuffix(".py").removesuffix("/__init__").split("/")
                if name.endswith(".py") and not any(_ASIDE.fullmatch(part) or "." in part for part in module):
                    yield from _of_module(".".join(module), files.read(name).decode("utf-8", "replace"))


def _of_module(name: str, source: str) -> Iterator[tuple[str, str]]:
    try:
        module = ast.parse(source)
    except SyntaxError:
        return
    yield from _of_body(name, module.body, members=True)


def _of_body(name: str, body: Iterable[ast.stmt], members: bool) -> Iterator[tuple[str, str]]:
    for found in body:
        if isinstance(found, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not found.name.startswith("_"):
            yield f"{name}.{found.name}", " ".join(_MARKUP.sub("", ast.get_docstring(found) or "").split()[:_MOST])
            if isinstance(found, ast.ClassDef) and members:
                yield from _of_body(f"{name}.{found.name}", found.body, members=False)


def _beginning(text: str) -> str:
    return " ".join(text.lower().split()[:_BEGINNING])


def main(wheels: Path, without: Path) -> None:
    with without.open() as lines:
        seen = {_beginning(json.loads(line)["text"]) for line in lines}
    for name, text in docstrings(wheels):
        if len(text.split()) >= _LEAST and seen.isdisjoint((name, _beginning(text))):
            seen |= {name, _beginning(text)}
            print(json.dumps({"_id": name, "title": name, "text": text}, ensure_ascii=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
