"""Flags, environment and a YAML file -> one mapping of settings, read by one parser, with no name that does not exist."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from firstrank.reranker.config import read_yaml
from firstrank.reranker.errors import InputError

PREFIX = "FIRSTRANK_"
_ELSEWHERE = {"CACHE", "DATA", "KEY", "SCREENSHOTS", "WRITE_DOCS"}
"""of other commands, of clients and of the project's own tests"""
_KUBERNETES = re.compile(r"(SERVICE_(HOST|PORT).*|PORT_\d+_(TCP|UDP).*)")
"""what Kubernetes and Docker set for a service that is called firstrank"""


def merged(flags: Mapping[str, Any], known: Collection[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings, flags before environment before file, and where each was said. Raises InputError for a name that is not `known`."""
    from_environment = dict(_environment(os.environ, known))
    path = flags.get("config") or from_environment.get("config")
    from_file = read_file(Path(path), known) if path else {}
    found: dict[str, Any] = {}
    said: dict[str, str] = {}
    for given, where in ((from_file, f"{path}"), (from_environment, "the environment's {}"), (flags, "the flag --{}")):
        for name, value in given.items():
            spelled = PREFIX + name.upper() if given is from_environment else name.replace("_", "-")
            found[name], said[name] = value, where.format(spelled)
    return found, said


def read_file(path: Path, known: Collection[str]) -> dict[str, Any]:
    """A YAML file's settings. Raises InputError for a file that cannot be read, and for a name that does not exist."""
    try:
        found = read_yaml(path)
    except OSError as error:
        raise InputError(f"config {path}: cannot be read: {error.strerror or error}") from error
    for name in found:
        if name not in known:
            raise InputError(f"{path}: no setting is called {name!r}{_meant(str(name), known)}")
    return found


def split(given: Any) -> Any:
    """`a,b`, or a list of such, as a list: one rule for flags, environment and file. Raises ValueError where nothing is said."""
    if isinstance(given, str):
        parts = [part.strip() for part in given.split(",")]
        if not any(parts):
            raise ValueError("is empty: give a value, or leave it out")
        return [part for part in parts if part]
    if isinstance(given, Iterable) and not isinstance(given, Mapping):
        return [part for one in given for part in (split(one) if isinstance(one, str) else [one])]
    return given


def split_pairs(given: Any) -> Any:
    """The same for KEY=VALUE, whose values may hold commas: a comma divides where another KEY= follows."""
    if isinstance(given, str):
        return [part.strip() for part in re.split(r",(?=\s*[\w.-]+=)", given)]
    return [part for one in given for part in split_pairs(one)] if isinstance(given, list | tuple) else given


def _environment(environment: Mapping[str, str], known: Collection[str]) -> Iterable[tuple[str, str]]:
    for variable, value in sorted(environment.items()):
        if not variable.upper().startswith(PREFIX):
            continue
        bare = variable.upper().removeprefix(PREFIX)
        if (bare == "PORT" and value.startswith("tcp://")) or (bare.lower() not in known and _KUBERNETES.fullmatch(bare)):
            raise InputError(
                f"{variable}={value}: Kubernetes sets this for a Service that is called firstrank; set enableServiceLinks: false in the pod"
            )
        if bare.lower() in known:
            if not value.strip():
                raise InputError(f"{variable} is empty: give it a value, or do not set it")
            yield bare.lower(), value
        elif bare not in _ELSEWHERE and not bare.startswith("TEST_"):
            meant = _meant(bare.lower(), known, spell=lambda name: PREFIX + name.upper())
            raise InputError(f"the environment's {variable}: no setting has this name{meant}")


def _meant(name: str, known: Collection[str], spell: Any = str) -> str:
    return "".join(f"; did you mean {spell(near)}?" for near in get_close_matches(name, known, 1))
