"""Slow and half-open clients, over real sockets: what they hold, others do not miss."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from firstrank.server.logs import JsonLines
from tests.server.serving import figure, live, threaded

ASKED = {"query": "q", "documents": ["1", "2"]}
HALF = b"POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b" " * 100


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """With little time for headers and bodies, and few connections."""
    with threaded(header_timeout=2, read_timeout=2, keep_alive=2, max_connections=160, max_queue=8) as url:
        yield url


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(JsonLines().format(record))  # type: ignore[method-assign]  # all that is needed of one
    logger = logging.getLogger("firstrank")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield lines
    logger.removeHandler(handler)
    logger.setLevel("NOTSET")


def connect(url: str) -> socket.socket:
    where = urlsplit(url)
    return socket.create_connection((where.hostname, where.port), timeout=120)


@contextlib.contextmanager
def many(url: str, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(url)) for _ in range(count)]
        for one in sockets:
            with contextlib.suppress(ConnectionError):  # it may have been closed already
                one.sendall(sent)
        yield sockets


def rank(url: str) -> int:
    return httpx.post(f"{url}/rerank", json=ASKED, timeout=60).status_code


def until_closed(one: socket.socket) -> bytes:
    """What was sent before the end; fails if there is no end."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while part := one.recv(1 << 16):
            said += part
    return said


def test_130_half_sent_bodies_take_nobodys_place(server):
    with many(server, 130, HALF) as sockets:
        assert [rank(server) for _ in range(5)] == [200] * 5
        assert figure(httpx.get(f"{server}/metrics").text, "firstrank_requests_inside") == 0
        assert b" 408 " in until_closed(sockets[0])[:16]
    assert rank(server) == 200


def test_400_idle_sockets_take_nobodys_place_though_there_are_fewer_connections(server, log):
    with many(server, 400, b"") as sockets:
        assert [rank(server) for _ in range(5)] == [200] * 5
        until_closed(sockets[0])
        until_closed(sockets[-1])
    metrics = httpx.get(f"{server}/metrics").text
    assert figure(metrics, 'firstrank_closed_connections_total{reason="too_many"}') >= 240
    assert figure(metrics, 'firstrank_closed_connections_total{reason="headers_too_slow"}') > 0
    assert 1 <= sum('"too_many"' in line and "127.0.0.1" in line for line in log) < 10


@pytest.mark.slow
def test_400_idle_sockets_and_a_process_with_256_descriptors(tiny_model):
    with live("--model", f"default={tiny_model}", "--threads", "1", files=256) as running, many(running.url, 400, b""):
        assert [rank(running.url) for _ in range(5)] == [200] * 5
        assert not any("out of system resource" in line for line in running.log)


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /hea"])
def test_headers_that_do_not_end_are_not_waited_for(server, sent):
    with connect(server) as one:
        one.sendall(sent)
        started = time.monotonic()
        until_closed(one)
        assert time.monotonic() - started > 1  # not at once


def test_an_idle_connection_is_kept_for_a_while_and_then_closed(server):
    with connect(server) as one:
        for _ in range(2):
            one.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            said = b""
            while b'"ok"}' not in said:
                said += one.recv(1 << 16)
            assert select.select([one], [], [], 0.2)[0] == []
        assert until_closed(one) == b""


def test_bodies_that_are_being_sent_may_hold_so_many_bytes():
    with threaded(max_reading_bytes=150_000) as url:
        head = b"POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        with many(url, 1, head + b" " * 99_000), connect(url) as second:
            time.sleep(0.2)
            second.sendall(head + b" " * 99_000)
            assert b" 503 " in until_closed(second)[:16]
            assert rank(url) == 200


def test_keys_are_read_again_and_what_cannot_be_read_changes_nothing(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("first\nadmin scopes=admin\n")

    def status(key: str, path: str = "/rerank") -> int:
        return httpx.post(f"{url}{path}", json=ASKED, headers={"authorization": f"Bearer {key}"}, timeout=60).status_code

    with threaded(api_keys_file=str(keys)) as url:
        assert (status("first"), status("second"), status("admin")) == (200, 401, 403)
        keys.write_text("second\nadmin scopes=admin\n")
        assert (status("first", "/admin/reload"), status("admin", "/admin/reload")) == (403, 200)
        assert (status("first"), status("second")) == (401, 200)
        keys.write_text("")
        assert status("admin", "/admin/reload") == 422
        assert (status("first"), status("second")) == (401, 200)


def test_a_socket_file(tmp_path):
    path = tmp_path / "firstrank.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
        stale.bind(str(path))
    with threaded(unix_socket=str(path)) as url:
        assert url == f"unix:{path}"
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://x") as client:
            assert client.post("/rerank", json=ASKED).status_code == 200
        assert path.stat().st_mode & 0o777 == 0o660
    assert not path.exists()


def test_https_with_a_certificate_and_a_warning_where_anyone_may_come(tmp_path, log):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True)
    with threaded(host="0.0.0.0", tls_cert=str(cert), tls_key=str(key)) as url:
        address = url.replace("0.0.0.0", "127.0.0.1")
        assert address.startswith("https://")
        assert httpx.get(f"{address}/health", verify=str(cert)).status_code == 200
    assert any('"warning"' in line and "anyone who reaches this address" in line for line in log)
    assert any('"listening"' in line and "open: no key" in line and '"max_queue": 128' in line for line in log)


def test_a_certificate_that_cannot_be_used_is_named(tmp_path):
    from firstrank.reranker.errors import InputError

    (tmp_path / "cert.pem").write_text("nothing")
    with pytest.raises(InputError, match=r"cert\.pem"), threaded(tls_cert=str(tmp_path / "cert.pem"), tls_key=str(Path("/nowhere"))):
        pass
