"""Which torch is installed: the commands of the Makefile and of the documents, against package indexes on this machine."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "constraints/install_torch.py"
NOWHERE = "http://127.0.0.1:9/whl/cpu"


def wheel(index: Path, name: str, version: str, *needs: str) -> None:
    """A package that holds nothing, in a folder that a web server shows as an index."""
    folder = index / name
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {need}\n" for need in needs)
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", about)
        archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def indexes(tmp_path_factory):
    """Addresses of a package index with CUDA's build alone, and of one with the CPU's."""
    root = tmp_path_factory.mktemp("indexes")
    pinned = re.search(r"torch==(\S+)", (ROOT / "constraints/cpu.txt").read_text())[1]
    wheel(root / "simple", "torch", pinned, "nvidia-cublas; platform_system == 'Linux'")
    wheel(root / "simple", "nvidia-cublas", "13.0")
    wheel(root / "simple", "needs-torch", "1.0", f"torch>={pinned}")
    wheel(root / "whl/cpu", "torch", f"{pinned}+cpu")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/simple", f"http://127.0.0.1:{server.server_port}/whl/cpu"
    server.shutdown()
    server.server_close()


@pytest.fixture
def called(indexes, tmp_path):
    """Runs Python with its packages in an empty folder and only the package index set; gives what it said and what was installed."""
    site = tmp_path / "site"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment = plain | {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": indexes[0], "PIP_TARGET": str(site), "PYTHONPATH": str(site)}

    def run(*words: object, path: Path | None = None) -> tuple[str, set[str]]:
        own = environment | ({"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"} if path else {})
        done = subprocess.run([sys.executable, *map(str, words)], env=own, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip(), {folder.name.removesuffix(".dist-info") for folder in site.glob("*.dist-info")}

    return run


def test_without_a_gpu_the_cpu_build_comes_from_pytorch_s_index(indexes, called):
    said, installed = called(SCRIPT, "--cpu", "--index", indexes[1])
    assert re.fullmatch(r"torch [\d.]+\+cpu: a CPU build", said)
    assert all(name.endswith("+cpu") for name in installed), installed


def test_where_that_cannot_be_reached_the_package_index_s_is_taken_and_said(called):
    said, installed = called(SCRIPT, "--cpu", "--index", NOWHERE)
    assert re.match(r"torch [\d.]+: CUDA's build, several gigabytes with what it needs: no NVIDIA GPU is here, but", said)
    assert f"{NOWHERE} does not answer (" in said
    assert {name.partition("-")[0] for name in installed} == {"torch", "nvidia_cublas"}


def test_with_a_gpu_pytorch_s_index_is_not_asked(indexes, called, tmp_path):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: one'\n")
    program.chmod(0o755)
    said, installed = called(SCRIPT, "--index", indexes[1], path=tmp_path / "bin")
    assert re.fullmatch(r"torch [\d.]+: for an NVIDIA GPU", said)
    assert not any(name.endswith("+cpu") for name in installed)


@pytest.mark.parametrize("reached", [True, False])
def test_pip_s_own_line_takes_the_cpu_build_where_it_can(indexes, called, reached):
    """`pip install --extra-index-url https://download.pytorch.org/whl/cpu .`, as the documents have it."""
    index = indexes[1] if reached else NOWHERE
    line = ["-m", "pip", "install", "-qq", "--retries", "0", "--extra-index-url", index, "needs-torch"]
    _, installed = called(*line)
    assert any(name.startswith("torch") for name in installed)
    assert any(name.endswith("+cpu") for name in installed) == reached


def test_a_gpu_is_what_its_driver_says(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("install_torch", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "Path", lambda _: tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not script.has_gpu()
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")  # the program without a driver
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert not script.has_gpu()
    (tmp_path / "nvidiactl").touch()
    assert not script.has_gpu()
    (tmp_path / "nvidia0").touch()
    assert script.has_gpu()


def test_what_is_installed_for_evaluation_alone_is_of_the_project_s_own_list():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = {*about["dependencies"], *about["optional-dependencies"]["eval"]}
    lines = [line for line in (ROOT / "constraints/eval.txt").read_text().splitlines() if not line.startswith("#")]
    assert set(lines) <= known
    assert not {re.match(r"[\w-]+", line)[0] for line in lines} & {"torch", "transformers", "accelerate", "peft"}
