"""Runs a page's blocks as a reader would, in one folder: a shell's and Python's, with what they print compared with what is shown."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import SkipTest

from sybil.evaluators.python import PythonEvaluator
from sybil.example import Example

from tests.docs.pages import Block, examples

ROOT = Path(__file__).parents[2]
SHIM = """#!{python}
import sys
sys.path.insert(0, {root!r})
words, model, port = sys.argv[1:], {model!r}, {port!r}
if words[:1] == ["serve"]:
    words += ["--port", port, "--threads", "1"]
if model and words[:1] in (["rerank"], ["serve"]) and "oracle" not in words and "--help" not in words:
    words = [model if word == "default" else word.replace("=default", "=" + model) if words[place - 1] == "--model" else word
             for place, word in enumerate(words)]
    words += [] if "--model" in words else ["--model", "default=" + model if words[0] == "serve" else model]
sys.argv[1:] = words
from firstrank.__main__ import main
main()
"""

PROGRESS = re.compile(r"^\w+: \d+ of \d+, .* left\n", re.MULTILINE)
"""lines that a slow machine shows, and a quick one does not"""

SERVICE = re.compile(r"^(?:\w+=\S+ )*firstrank serve.*$", re.MULTILINE)

REFUSED = ("pip", "pip3", "uv", "make", "docker", "git", "sudo", "apt-get", "ray", "kubectl")
"""commands that change the machine: a block that has one is marked `skip`"""


@dataclass
class Reader:
    """Someone who types a page's blocks into a shell and a Python prompt, in the folder `here`."""

    here: Path
    model: Path | None = None
    """in place of the default model"""
    differ: list[tuple[Block, str]] = field(default_factory=list)
    """what was printed in place of an output that is shown"""
    skipped: list[str] = field(default_factory=list)
    _service: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.port = _free_port()
        commands = self.here / ".bin"
        commands.mkdir()
        shim = SHIM.format(python=sys.executable, root=str(ROOT), model=str(self.model) if self.model else "", port=str(self.port))
        texts = {"firstrank": shim, "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n'} | dict.fromkeys(REFUSED, "#!/bin/sh\nexit 97\n")
        for name, text in texts.items():
            (commands / name).write_text(text)
            (commands / name).chmod(0o755)
        self.folder = self.here / "work"
        self.folder.mkdir()
        for shared in ("examples", "configs"):
            (self.folder / shared).symlink_to(ROOT / shared)
        self.environment = os.environ | {
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "OMP_NUM_THREADS": "1",
        }

    def read(self, page: Path) -> None:
        """Raises AssertionError, or what a block raises, where one of them fails."""
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            for example in examples(page, self.evaluate):
                try:
                    example.evaluate()
                except SkipTest as reason:
                    self.skipped.append(str(reason))
        finally:
            os.chdir(before)
            self.stop()

    def evaluate(self, example: Example) -> None:
        block: Block = example.parsed
        if block.language == "python":
            printed = self._python(example, block)
        elif block.language in ("bash", "sh"):
            printed = self._shell(block)
        else:
            return
        if block.output is not None and not same(block.output, printed):
            self.differ.append((block, printed))

    def stop(self) -> None:
        if self._service is not None:
            self._service.send_signal(signal.SIGINT)
            self._service.wait(30)
            self._service = None

    def _python(self, example: Example, block: Block) -> str:
        source = self._here(block.source)
        if self.model is not None:
            source = source.replace('"default"', repr(str(self.model)))
        example.parsed = _Source(source)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            PythonEvaluator()(example)
        return printed.getvalue()

    def _shell(self, block: Block) -> str:
        source = self._here(block.source)
        if services := SERVICE.findall(source):  # of several that are shown, the first is asked
            self._serve(services[0])
            source = SERVICE.sub("", source)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", source],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1200,
        )
        fails = block.output is not None and re.search(r"^error: ", block.output, re.MULTILINE)
        assert bool(done.returncode) == bool(fails), f"exit code {done.returncode} of\n{source}\n{done.stdout}"
        return PROGRESS.sub("", done.stdout)

    def _serve(self, command: str) -> None:
        self.stop()
        self._service = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], env=self.environment, cwd=self.folder, stderr=subprocess.DEVNULL
        )
        for _ in range(4500):  # 15 minutes
            assert self._service.poll() is None, f"it ended: {command}"
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=5)
                return
            time.sleep(0.2)
        raise AssertionError(f"not ready: {command}")

    def _here(self, source: str) -> str:
        return re.sub(r"\b(?:localhost|127\.0\.0\.1):8000\b", f"127.0.0.1:{self.port}", source)


class _Source(str):
    """Text with the places that Sybil's evaluator asks for."""

    offset = line_offset = 0


def same(shown: str, printed: str) -> bool:
    """Line by line: `…` in what is shown stands for anything, seconds are any seconds, and JSON is compared as JSON."""
    with contextlib.suppress(ValueError):
        return bool(json.loads(shown) == json.loads(printed))
    return re.fullmatch(_pattern(shown), _plain(printed)) is not None


def _pattern(shown: str) -> str:
    return re.escape(_plain(shown)).replace("…", "[^\n]*")


def _plain(text: str) -> str:
    text = re.sub(r"\b\d+(\.\d+)? s\b", "N s", text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def renewed(page: Path, differ: list[tuple[Block, str]]) -> Any:
    """The page with its outputs as they are now."""
    text = page.read_text(encoding="utf-8")
    for block, printed in sorted(differ, key=lambda one: -one[0].span[0]):
        start, end = block.span
        text = f"{text[:start]}{printed.strip()}\n{text[end:]}"
    page.write_text(text, encoding="utf-8")
