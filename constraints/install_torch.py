"""Installs torch in the build that suits this machine: `python constraints/install_torch.py [--cpu | --cuda] [--index URL] [pip's own]`.

On Linux the package index has CUDA's build alone, several gigabytes with what it needs. Where no NVIDIA GPU is found, PyTorch's own index
of CPU builds is asked beside it; where that cannot be reached, torch comes from the package index all the same. What was installed is said.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import ssl
import subprocess
import sys
import urllib.request
from importlib.metadata import requires, version
from pathlib import Path

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PINNED = Path(__file__).with_name("cpu.txt")
_SECONDS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build = parser.add_mutually_exclusive_group()
    build.add_argument("--cpu", action="store_true", help="the CPU build, whatever this machine has")
    build.add_argument("--cuda", action="store_true", help="CUDA's build, whatever this machine has")
    parser.add_argument("--index", default=CPU_INDEX, help="an index of CPU builds (a mirror, say); by default %(default)s")
    given, options = parser.parse_known_args()
    for_cpu = given.cpu or not (given.cuda or has_gpu())
    unreachable = problem_of(given.index) if for_cpu else None
    beside = ["--extra-index-url", given.index] if for_cpu and unreachable is None else []
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--requirement", str(PINNED)]
    if failed := subprocess.run([*pip, *beside, *options]).returncode:
        sys.exit(failed)
    importlib.invalidate_caches()
    print(f"torch {version('torch')}: {_said(for_cpu, given.index, unreachable)}")


def has_gpu() -> bool:
    """Whether the driver of an NVIDIA GPU is here. Those of other makers need a build of torch that is installed by hand, before."""
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return True
    program = shutil.which("nvidia-smi")
    return program is not None and subprocess.run([program, "-L"], capture_output=True).returncode == 0


def problem_of(index: str) -> str | None:
    """Why an index cannot be asked for torch; None where it can."""
    if sys.platform != "linux":
        return "the package index has a CPU build for this system"
    context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE"))
    try:
        with urllib.request.urlopen(f"{index.rstrip('/')}/torch/", timeout=_SECONDS, context=context):
            return None
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def is_cuda() -> bool:
    """Whether the torch that is installed is CUDA's build."""
    needed = [one for one in requires("torch") or () if "extra ==" not in one]
    return "+cpu" not in version("torch") and any(one.startswith(("nvidia-", "cuda-")) for one in needed)


def _said(for_cpu: bool, index: str, unreachable: str | None) -> str:
    if not for_cpu:
        return "for an NVIDIA GPU" if is_cuda() else "a CPU build: the package index has no other for this system, or it was here before"
    if not is_cuda():
        return "a CPU build"
    why = f"{index} does not answer ({unreachable})" if unreachable else f"{index} has no such build, or this one was here before"
    return f"CUDA's build, several gigabytes with what it needs: no NVIDIA GPU is here, but {why}. It ranks on the CPU as well"


if __name__ == "__main__":
    main()
