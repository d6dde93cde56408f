"""Builds the collection: the docstrings of the running interpreter's standard library, as a BEIR folder.

    python examples/pydocs/build.py DIR        corpus.jsonl, queries.jsonl, qrels/test.tsv in DIR
    python examples/pydocs/build.py --ids      the ids that this interpreter would give (how ids.txt was made, on 3.11)

A docid is a qualified name as a programmer writes it: `shutil.copytree`, `builtins.str.split`, `os.path`. `ids.txt` says which
names make the collection, so that it is one collection on every version; a name that this interpreter lacks, or that has no
docstring here, is reported and left out. Needs nothing but the standard library, and imports of it only what `modules.txt` names:
nothing that prints, opens a window or starts anything (antigravity, this, idlelib, test, turtledemo …), nothing that 3.13
dropped (PEP 594), nothing that a build often lacks (tkinter, readline, curses).
"""

from __future__ import annotations

import inspect
import json
import sys
import warnings
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from shutil import copyfile
from types import ModuleType
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
MODULES = (HERE / "modules.txt").read_text(encoding="utf-8").split()
MIN_WORDS = 2
"""a docstring of one word says nothing that its name does not"""


class Entry(NamedTuple):
    """One passage: a name and what its docstring says."""

    docid: str
    text: str

    def to_json(self) -> str:
        return json.dumps({"_id": self.docid, "title": self.docid, "text": self.text}, ensure_ascii=False)


def entries(docids: Iterable[str]) -> tuple[list[Entry], list[str]]:
    """The entries of those `docids` that this interpreter documents, in their order, and the docids that it lacks."""
    found, lacking = [], []
    for docid in docids:
        text = docstring(docid)
        if text:
            found.append(Entry(docid, text))
        else:
            lacking.append(docid)
    return found, lacking


def docstring(docid: str) -> str | None:
    """What a name's own docstring says, without its indentation; None for no such name, and for a name without one."""
    module, path = _split(docid)
    try:
        found: Any = _module(module)
        for name in path:
            found = _attribute(found, name)
    except (ImportError, AttributeError):
        return None
    return _own_docstring(found)


def public_ids() -> list[str]:
    """The names that a collection made on this interpreter would have, sorted: one for each text, its plainest."""
    plainest: dict[str, tuple[int, bool, int, int, str]] = {}
    for place, module in enumerate(MODULES):
        for name in _walk(module):
            text = _own_docstring(name.found)
            if text and len(text.split()) >= MIN_WORDS:
                key = (name.depth, name.alias, place, len(name.docid), name.docid)
                plainest[text] = min(plainest.get(text, key), key)
    return sorted(docid for *_, docid in plainest.values())


def manifest() -> list[str]:
    """The collection's docids: `ids.txt`."""
    return (HERE / "ids.txt").read_text(encoding="utf-8").split()


def write(folder: Path) -> list[str]:
    """Writes the BEIR folder; gives the docids that this interpreter lacks."""
    if sys.flags.optimize > 1:
        sys.exit("docstrings are stripped under -OO: run it without")
    found, lacking = entries(manifest())
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    with (folder / "corpus.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(entry.to_json() + "\n" for entry in found)
    copyfile(HERE / "queries.jsonl", folder / "queries.jsonl")
    copyfile(HERE / "qrels.tsv", folder / "qrels" / "test.tsv")
    return lacking


def _split(docid: str) -> tuple[str, list[str]]:
    """A name's module, the longest one of `modules.txt` that it starts with, and the path from there."""
    parts = docid.split(".")
    for end in range(len(parts), 0, -1):
        if (module := ".".join(parts[:end])) in MODULES:
            return module, parts[end:]
    raise ValueError(f"{docid}: in none of the collection's modules")


class _Name(NamedTuple):
    """A name that a module offers; `alias` where the object calls itself otherwise, `depth` 2 for what is inside a class."""

    docid: str
    found: Any
    depth: int
    alias: bool


def _walk(module: str) -> Iterator[_Name]:
    """A module, its public functions and classes, and the public members of those, also from private bases."""
    try:
        root = _module(module)
    except ImportError:
        return
    yield _Name(module, root, 0, False)
    for name in _public(root):
        found = _attribute(root, name)
        alias = getattr(found, "__name__", name) != name
        yield _Name(f"{module}.{name}", found, 1, alias)
        if inspect.isclass(found):
            yield from (_Name(f"{module}.{name}.{key}", member, 2, alias) for key, member in _members(found).items())


def _members(owner: type) -> dict[str, Any]:
    bases = [base for base in reversed(owner.__mro__) if base is owner or base.__name__.startswith("_")]
    return {key: member for base in bases for key, member in vars(base).items() if not key.startswith("_")}


def _public(module: ModuleType) -> list[str]:
    """What a module offers: `__all__`, else the names that are its own."""
    if offered := getattr(module, "__all__", None):
        return sorted(name for name in offered if name[0] != "_" and hasattr(module, name))
    own = ("builtins", "io", "_io") if module.__name__ == "builtins" else (module.__name__, f"_{module.__name__}")
    return sorted(name for name in dir(module) if name[0] != "_" and getattr(getattr(module, name), "__module__", None) in own)


def _module(name: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(name)


def _attribute(owner: Any, name: str) -> Any:
    """A module's attribute, or a class's as it is stored: a property or class method is not called."""
    if not inspect.ismodule(owner):
        return inspect.getattr_static(owner, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(owner, name)


def _own_docstring(found: Any) -> str | None:
    """A docstring, unless it is the one of the object's type: that of a constant."""
    text = getattr(found, "__doc__", None)
    if inspect.ismodule(found) or inspect.isclass(found) or text != type(found).__doc__:
        return inspect.cleandoc(text).strip() if isinstance(text, str) else None
    return None


def main(arguments: list[str]) -> None:
    if arguments == ["--ids"]:
        print("\n".join(public_ids()))
        return
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.exit("usage: build.py DIR | --ids")
    try:
        lacking = write(Path(arguments[0]))
    except OSError as error:
        sys.exit(f"{error.filename or arguments[0]}: cannot be written: {error.strerror or error}")
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"{arguments[0]}: {len(manifest()) - len(lacking)} passages from Python {version}", file=sys.stderr)
    if lacking:
        print(f"{len(lacking)} names that this interpreter lacks: {', '.join(lacking)}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
