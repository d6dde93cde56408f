"""The service on Ray Serve, from the shipped config (make test-ray)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml

from firstrank.reranker.reranker import Reranker

pytestmark = pytest.mark.ray

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
    log = tmp_path / "log"
    with log.open("w") as file:
        service = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, env=os.environ | {"RAY_ADDRESS": "local"}
        )
    try:
        url = f"http://127.0.0.1:{port}"
        answer = asked(f"{url}/v2/rerank", service, log)
        with Reranker(str(tiny_model), threads=1) as reranker:
            expected = reranker.rank(QUERY, DOCUMENTS)
        assert [(one["index"], one["relevance_score"]) for one in answer["results"]] == [(one.index, one.score) for one in expected]
        assert httpx.get(f"{url}/ready", timeout=120).status_code == 200
        assert httpx.post(f"{url}/v2/rerank", json={"query": QUERY}, timeout=120).status_code == 422
    finally:
        service.send_signal(signal.SIGTERM)  # an interrupt would be ignored where the tests run in the background
        try:
            service.wait(300)
        except subprocess.TimeoutExpired:
            os.killpg(service.pid, signal.SIGKILL)
            raise


def asked(url: str, service: subprocess.Popen[bytes], log: Path, seconds: float = 900) -> dict[str, list[dict[str, float]]]:
    """The first answer; until the service is up, nobody listens or nothing is there."""
    deadline = time.monotonic() + seconds
    while True:
        assert service.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            answer = httpx.post(url, json={"query": QUERY, "documents": DOCUMENTS, "model": "rerank-v3.5"}, timeout=120)
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        if answer.status_code == 200:
            found: dict[str, list[dict[str, float]]] = answer.json()
            return found
        time.sleep(0.2)
