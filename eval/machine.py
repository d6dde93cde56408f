"""The facts that make a figure comparable: the machine, and what ran on it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from firstrank.reranker.models.catalog import describe
from firstrank.reranker.scorers.base import Scorer


def machine_facts(packages: Iterable[str] = ()) -> dict[str, Any]:
    """The machine and the versions of Python, Firstrank and those packages that are installed."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_processor()}, {_cores()} cores, {_memory()}",
        "system": f"{platform.system()} {platform.release()}",
        "versions": {"python": platform.python_version()} | _versions(("firstrank", *packages)),
    }


def model_facts(name: str, revision: str | None = None) -> dict[str, str]:
    """A model's name, where its weights come from, its template, and the revision: as given, else the folder that holds it
    (on the hub that is the commit; elsewhere its name holds a hash of the weights)."""
    known = describe(name)
    path = known.get("path")
    facts = {"model": name, "weights": str(known["weights"]), "template": str(known["template"])}
    found = revision or (Path(path).name if path else None)
    return facts | ({"revision": found} if found else {})


def scorer_facts(scorer: Scorer) -> dict[str, Any]:
    """What a scorer says of the way it runs: device, dtype, threads; of vLLM's engine, its prefix cache too."""
    facts = {name: str(value) for name in ("device", "dtype") if (value := getattr(scorer, name, None)) is not None}
    if (config := getattr(getattr(scorer, "engine", None), "vllm_config", None)) is not None:
        facts |= {"device": config.device_config.device_type, "dtype": str(config.model_config.dtype)}
        facts["prefix cache"] = "on" if config.cache_config.enable_prefix_caching else "off"
    if facts.get("device") == "cpu":
        import torch

        facts["threads"] = str(torch.get_num_threads())
    elif facts.get("device", "").startswith("cuda"):
        import torch

        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
