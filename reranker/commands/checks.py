"""What is checked of every command before it begins: that each option has an effect, and that no output is an input."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firstrank.reranker.commands.console import speak_on_standard_error, speak_on_standard_output
from firstrank.reranker.commands.streams import spooled
from firstrank.reranker.errors import InputError

STANDARD_OUTPUT = "/dev/stdout"

_INPUTS = ("run", "queries", "corpus", "requests", "qrels", "dataset", "model", "vectors", "ranked", "source", "files", "config")
_FIT = tuple(f"fit_{name}" for name in ("run", "queries", "corpus", "qrels"))
_OUTPUTS = ("output", "trace", "save_rule", "save_vectors", "save_queries")
_READ_TOO = {"eval": ("trace",), "feedback": ("vectors",)}
"""options that are outputs elsewhere, or may be, and inputs here"""
_RUNS = ("rerank", "retrieve", "feedback")
"""what writes a TREC run"""
_COLLECTION = ("corpus.jsonl", "corpus.jsonl.gz", "queries.jsonl", "queries.jsonl.gz")
_MODEL = (".json", ".safetensors", ".yaml", ".model", ".jinja", ".bin", ".gguf")


def checked(command: Any, path: str) -> Any:
    """The command (or each command of a group), which checks its options first."""
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            checked(inner, f"{path} {name}")
        return command
    invoke = command.invoke

    def checking(context: Any) -> Any:
        _check(context, path)
        return invoke(context)

    command.invoke = checking
    return command


def _check(context: Any, path: str) -> None:
    from firstrank.reranker.scorers import rules

    parameters = context.command.params
    given = {one.name: context.params[one.name] for one in parameters if _said(context, one.name)}
    flags = {one.name: max(one.opts, key=len) if one.param_type_name == "option" else one.name.upper() for one in parameters}
    _to_standard_output(context, given)
    rules.check(given, lambda name: flags.get(name, f"--{name.replace('_', '-')}"), path)
    _check_outputs(given, flags, path)
    _check_form(given, flags, path)
    spooled(context, (*_INPUTS, *_FIT, *_READ_TOO.get(path, ())), flags)


def _to_standard_output(context: Any, given: dict[str, Any]) -> None:
    """`--output -` is standard output; what a command says of its work goes to standard error then."""
    for name in _OUTPUTS:
        if str(given.get(name)) == "-":
            context.params[name] = given[name] = type(given[name])(STANDARD_OUTPUT)
    if str(given.get("output")) == STANDARD_OUTPUT:
        speak_on_standard_error()
        context.call_on_close(speak_on_standard_output)


def _said(context: Any, name: str) -> bool:
    """Whether an option was given; a flag that is off was not."""
    value, source = context.params.get(name), context.get_parameter_source(name)
    nothing = value is None or value is False or value == [] or value == ()
    return not nothing and (source is None or source.name not in ("DEFAULT", "DEFAULT_MAP"))


def _check_form(given: Mapping[str, Any], flags: Mapping[str, str], path: str) -> None:
    """Raises InputError for an output that is named JSON and would be a TREC run."""
    from firstrank.reranker.runs.rankllm import is_json

    if path in _RUNS and "output" in given and "requests" not in given and is_json(given["output"]):
        other = "; RankLLM's JSON holds texts, and is written of {requests}" if "requests" in flags else ""
        raise InputError(f"{flags['output']} {given['output']}: is a TREC run: name it .trec or .run{other.format_map(flags)}")


def _check_outputs(given: Mapping[str, Any], flags: Mapping[str, str], path: str) -> None:
    """Raises InputError for an output that would replace an input, or another output."""
    read_too = _READ_TOO.get(path, ())
    reads = [(name, one) for name in (*_INPUTS, *_FIT, *read_too) for one in _paths(given.get(name))]
    writes = [(name, Path(given[name])) for name in _OUTPUTS if name in given and name not in read_too]
    for place, (name, output) in enumerate(writes):
        for other, source in reads:
            if other != name and _replaces(output, source):
                raise InputError(
                    f"{flags[name]} {output}: is what {flags[other]} reads, and would be replaced: give the output another name"
                )
        for other, second in writes[:place]:
            if _same(output, second):
                raise InputError(f"{flags[name]} {output}: is what {flags[other]} writes: give one of them another name")


def _paths(value: Any) -> list[Path]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return [Path(str(one).rpartition("=")[2]) for one in values if one is not None and "\n" not in str(one)]


def _replaces(output: Path, source: Path) -> bool:
    """Whether writing `output` changes `source`: the same file, or a file of a collection's or a model's folder."""
    if _same(output, source) or _same(Path(f"{output}.part.jsonl"), source):
        return not source.is_dir()
    if not source.is_dir() or not output.is_file():
        return False
    inside = Path(os.path.realpath(output))
    root = Path(os.path.realpath(source))
    if root not in inside.parents:
        return False
    return inside.name in _COLLECTION or inside.parent.name == "qrels" or (inside.suffix in _MODEL and (root / "config.json").is_file())


def _same(one: Path, other: Path) -> bool:
    """Whether two names are one file; of what is no plain file (a pipe, a terminal) they never are."""
    if STANDARD_OUTPUT in (str(one), str(other)):
        return False
    if one.exists() and other.exists():
        return one.samefile(other) and (one.is_file() or one.is_dir())
    return os.path.realpath(one) == os.path.realpath(other)
