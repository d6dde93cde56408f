"""`firstrank serve` as a process on loopback: what only real sockets and signals can show."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

import httpx
import pytest

from tests.server.serving import SERVE, figure, live


@pytest.fixture(scope="module")
def server(tiny_model):
    with live("--model", f"default={tiny_model}", "--threads", "1", "--drain", "15") as running:
        yield running


def passages(n: int) -> list[str]:
    return [f"passage {i} says {i * 7919 % 1000}" for i in range(n)]


GONE = 'firstrank_rejections_total{reason="client_gone"}'


def settled(url: str, gone: float = 0) -> str:
    """The metrics, once nothing is inside and so many clients have gone."""
    for _ in range(1500):
        metrics = httpx.get(f"{url}/metrics", timeout=300).text
        quiet = figure(metrics, "firstrank_requests_inside") == 0 and figure(metrics, "firstrank_windows_in_flight") == 0
        if quiet and figure(metrics, GONE) >= gone:
            return metrics
        time.sleep(0.02)
    raise AssertionError(metrics)


def test_it_answers_and_logs_json(server):
    answer = httpx.post(
        f"{server.url}/v1/rerank", json={"query": "q", "documents": passages(30)}, headers={"x-request-id": "traced-1"}, timeout=300
    )
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 30
    for _ in range(250):
        if lines := [json.loads(line) for line in list(server.log) if "traced-1" in line]:
            break
        time.sleep(0.02)
    assert lines[0]["status"] == 200
    assert lines[0]["windows"] == 2
    assert all(json.loads(line) for line in server.log)


def test_100_mb_are_413_and_the_connection_lives_on(server):
    with httpx.Client(base_url=server.url, timeout=300) as client:
        answer = client.post("/rerank", content=b" " * (100 << 20))
        after = client.post("/rerank", json={"query": "q", "documents": ["a"]})
    assert answer.status_code == 413
    assert after.status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /rerank HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_harms_nobody(server, raw):
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=120) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        said = connection.recv(1 << 16)
    assert not said or b" 4" in said[:16]
    assert httpx.get(f"{server.url}/health", timeout=300).status_code == 200


def test_endless_headers_are_cut_off(server):
    where = urlsplit(server.url)
    sent = 0
    with socket.create_connection((where.hostname, where.port), timeout=300) as connection, suppress(OSError):
        connection.sendall(b"GET / HTTP/1.1\r\n")
        while sent < 40 << 20:
            connection.sendall(b"X: aaaaaaaaaaaaaaa\r\n" * 3000)
            sent += 60_000
    assert sent < 40 << 20


def test_clients_that_disconnect_leave_nothing_behind(server):
    where = urlsplit(server.url)
    body = json.dumps({"query": "q", "documents": passages(1000)})
    before = figure(settled(server.url), GONE)
    connections = [http.client.HTTPConnection(where.hostname, where.port, timeout=120) for _ in range(40)]
    for connection in connections:
        connection.request("POST", "/rerank", body, {"content-type": "application/json"})
    for connection in connections:
        connection.close()
    settled(server.url, gone=before + 30)  # a few may have been ranked
    assert httpx.post(f"{server.url}/rerank", json={"query": "q", "documents": ["a"]}, timeout=300).status_code == 200


def test_what_cannot_start_says_why_and_exits():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run([*SERVE, "--port", port], capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    done = subprocess.run([*SERVE, "--port", "0", "--model", "/nowhere"], capture_output=True, text=True, timeout=600, env=dict(os.environ))
    assert done.returncode == 2
    assert "/nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_sigterm_lets_running_requests_end(server):
    """The last one: it ends the service of this module."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        post = partial(httpx.post, f"{server.url}/rerank", json={"query": "q", "documents": passages(200)}, timeout=300)
        answers = [pool.submit(post) for _ in range(4)]
        while figure(httpx.get(f"{server.url}/metrics", timeout=300).text, "firstrank_requests_inside") < 4 and not any(
            a.done() for a in answers
        ):
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        statuses = [answer.result().status_code for answer in answers]
    server.process.wait(300)
    assert statuses == [200] * 4
    assert server.process.returncode in (0, -signal.SIGTERM)
    assert not any("Traceback" in line for line in server.log)
