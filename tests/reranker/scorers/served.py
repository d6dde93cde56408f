"""A real `vllm serve` over loopback in fp32, with the default model or another."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from firstrank.reranker.models.loaded import load_model

STARTED_IN = 900  # seconds, on a busy machine


@contextmanager
def served(folder: Path, model: Path | None = None) -> Iterator[str]:
    """The server's address; its log goes into `folder`.

    `vllm serve` itself reads a version under a name that the CPU build does not have; its module does not.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model or load_model("first-smollm2").path)]
    command += ["--served-model-name", "ranker", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--max-model-len", "2048", "--enforce-eager", "--kv-cache-memory-bytes", str(1 << 30)]
    environment = {"VLLM_CPU_NUM_OF_RESERVED_CPU": "0", "TORCH_COMPILE_DISABLE": "1", "VLLM_NO_USAGE_STATS": "1"}
    log = folder / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(command, env=environment | os.environ, stdout=output, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, server, log)
        yield address
    finally:
        server.terminate()
        server.wait(300)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTED_IN
    while time.monotonic() < until and server.poll() is None:
        try:
            if httpx.get(f"{address}/health", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError(f"the server did not start:\n{log.read_text()[-3000:]}")
