"""Every block of code is what it says: Python compiles, a shell parses, YAML and JSON load, commands have the options that are used."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from docs.generators.commands import commands, options
from tests.docs.pages import PAGES, Block, blocks, name_of

LANGUAGES = {
    "python",
    "bash",
    "sh",
    "json",
    "yaml",
    "nginx",
    "js",
    "ts",
    "javascript",
    "typescript",
    "mermaid",
    "markdown",
    "console",
    "ini",
    "dockerfile",
    "http",
}
KNOWN = {name: {flag for one in options(command) for flag in (*one.opts, *one.secondary_opts)} for name, command in commands()}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_are_well_formed(page: Path) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{name_of(page)}: {block.language}"
        check(block)


def check(block: Block) -> None:
    if block.language == "python":
        compile(block.source, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    elif block.language in ("bash", "sh"):
        done = subprocess.run(["bash", "-n"], input=block.source, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        for command in re.findall(r"^.*\bfirstrank .*$", block.source.replace("\\\n", " "), re.MULTILINE):
            check_options(command)
    elif block.language == "json":
        json.loads(block.source.replace("…", "…"))
    elif block.language == "yaml":
        yaml.safe_load(block.source)


def check_options(line: str) -> None:
    """Each `--option` of a `firstrank` command is one that the command has."""
    words = shlex.split(line, comments=True)
    for start in [place for place, word in enumerate(words) if word == "firstrank"]:
        told = []
        for word in words[start:]:
            if word in ("|", "&&", ";", "\\", "<", ">", "&"):
                break
            told.append(word)
        known = next((KNOWN[name] for name in (" ".join(told[:3]), " ".join(told[:2])) if name in KNOWN), None)
        if known is None:
            continue
        odd = [word.partition("=")[0] for word in told if re.match(r"--[a-z]", word)]
        assert [word for word in odd if word not in known | {"--help", "--version"}] == [], line
