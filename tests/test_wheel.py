"""What is installed is what is in the repository: every module and every file of configuration, under one name."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("reranker", "server", "training", "eval", "configs")


def test_the_wheel_holds_one_package_with_all_that_the_folders_hold(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--wheel-dir", str(tmp_path)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    there = (path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file())
    expected = {f"firstrank/{path}" for path in there if "__pycache__" not in path.parts}
    assert found == expected | {"firstrank/__init__.py", "firstrank/__main__.py"}
