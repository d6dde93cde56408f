"""The service on Ray Serve, from the shipped config (make test-ray)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from firstrank.reranker.reranker import Reranker

pytestmark = pytest.mark.ray

Answer = dict[str, list[dict[str, float]]]
CONFIG = Path(__file__).parents[2] / "configs/ray/serve.yaml"
QUERY, DOCUMENTS = "who wrote Emma?", ["Bees make honey.", "Jane Austen wrote Emma.", "Emma is a given name."]


def test_the_shipped_config_serves(tmp_path: Path, tiny_model: Path) -> None:
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config["http_options"]["port"] = port
    config["applications"][0]["args"]["model"] = f"default={tiny_model}"
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-c", "from ray.serve.scripts import cli; cli()", "run", str(tmp_path / "serve.yaml")]
    with serving(command, tmp_path / "log", f"http://127.0.0.1:{port}") as (url, answer):
        with Reranker(str(tiny_model), threads=1) as reranker:
            expected = reranker.rank(QUERY, DOCUMENTS)
        assert [(one["index"], one["relevance_score"]) for one in answer["results"]] == [(one.index, one.score) for one in expected]
        assert httpx.get(f"{url}/ready", timeout=120).status_code == 200
        assert httpx.post(f"{url}/v2/rerank", json={"query": QUERY}, timeout=120).status_code == 422


@contextmanager
def serving(command: list[str], log: Path, url: str) -> Iterator[tuple[str, Answer]]:
    """The address, and the first answer. Ray itself gives up on a machine that is too busy to start it in 30 seconds: it is tried again."""
    for _ in range(6):
        with log.open("w") as file:
            service = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, env=os.environ | {"RAY_ADDRESS": "local"}
            )
        try:
            answer = asked(f"{url}/v2/rerank", service, log)
            if answer is not None:
                yield url, answer
                return
        finally:
            stop(service)
    raise AssertionError(log.read_text())


def stop(service: subprocess.Popen[bytes]) -> None:
    service.send_signal(signal.SIGTERM)  # an interrupt would be ignored where the tests run in the background
    try:
        service.wait(300)
    except subprocess.TimeoutExpired:
        os.killpg(service.pid, signal.SIGKILL)
        raise


def asked(url: str, service: subprocess.Popen[bytes], log: Path, seconds: float = 900) -> Answer | None:
    """The first answer; until the service is up, nobody listens or nothing is there. None where Ray was too slow to start."""
    deadline = time.monotonic() + seconds
    while True:
        if service.poll() is not None:
            assert "timed out during startup" in log.read_text(), log.read_text()
            return None
        assert time.monotonic() < deadline, log.read_text()
        try:
            answer = httpx.post(url, json={"query": QUERY, "documents": DOCUMENTS, "model": "rerank-v3.5"}, timeout=120)
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        if answer.status_code == 200:
            found: Answer = answer.json()
            return found
        time.sleep(0.2)
