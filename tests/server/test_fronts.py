"""Behind proxies: what they change of an address; and the shipped configurations of nginx and Caddy, run (make test-fronts)."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import random
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server.serving import body, in_loop, serving, threaded

DEPLOY = Path(__file__).parents[2] / "deploy"
KEPT = 2.0
"""seconds that the proxy keeps an idle connection here; a minute in the shipped files"""


@in_loop
async def test_a_prefix_is_taken_off_whether_or_not_the_proxy_has_done_so():
    async with serving(root_path="/rank-service") as client:
        for path in ("/rerank", "/rank-service/rerank", "/rank-service/v1/rerank/"):
            assert (await client.post(path, json=body("1", "2"))).status_code == 200, path
        assert (await client.get("/rank-service")).status_code == 200
        assert (await client.get("/rank-service-x/health")).status_code == 404
        described = (await client.get("/openapi.json")).json()
    assert described["servers"] == [{"url": "/rank-service"}]


@in_loop
async def test_a_prefix_opens_nothing():
    async with serving(root_path="/x", api_keys="k") as client:
        for path in ("/x/metrics", "/x/x/health", "/x//health", "/x/rerank/"):
            assert (await client.get(path)).status_code == 401, path
        assert (await client.get("/x/health")).status_code == 200


@in_loop
async def test_hosts_that_may_be_asked_for():
    async with serving(allowed_hosts="rank.example, *.internal") as client:
        for host, status in [("rank.example", 200), ("RANK.example:8000", 200), ("a.internal", 200), ("internal", 400), ("evil", 400)]:
            assert (await client.get("/v1/models", headers={"host": host})).status_code == status, host
        assert (await client.get("/health", headers={"host": "10.1.2.3:8000"})).status_code == 200


@pytest.mark.parametrize(("trusted", "owner"), [("127.0.0.1", "203.0.113.9"), ("10.0.0.0/8", "127.0.0.1"), ((), "127.0.0.1")])
def test_a_forwarded_address_is_believed_of_trusted_proxies_only(trusted, owner):
    from firstrank.reranker.strategies.schedule import Schedule
    from tests.reranker.fakes import FakeScorer

    seen = []
    scorer = FakeScorer(hook=lambda who, texts: seen.append(who))
    settings = {"trusted_proxies": trusted} if trusted else {}
    with threaded({"default": lambda: (scorer, Schedule())}, **settings) as url:
        asked = httpx.post(f"{url}/rerank", json=body("1", "2"), headers={"x-forwarded-for": "198.51.100.1, 203.0.113.9"})
    assert asked.status_code == 200
    assert seen[-1] == f"address {owner}"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[str]:
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env={**os.environ, "HOME": str(folder)})
        try:
            deadline = time.monotonic() + 600
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail((folder / "log").read_text())
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(300)


@contextlib.contextmanager
def nginx(service: str, folder: Path) -> Iterator[str]:
    port, place = free_port(), service.removeprefix("http://")
    shipped = (DEPLOY / "nginx.conf").read_text()
    site = shipped.replace("127.0.0.1:8000", place).replace("listen 8080", f"listen 127.0.0.1:{port}")
    site = site.replace("keepalive_timeout 60s", f"keepalive_timeout {KEPT:.0f}s")
    assert site.count(place) == 1
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = f"user {getpass.getuser()};\n" if os.getuid() == 0 else ""  # or its workers could not write into the folder
    main = f"{user}daemon off;\npid {folder}/pid;\nerror_log stderr;\nevents {{ worker_connections 1024; }}\n"
    (folder / "nginx.conf").write_text(f"{main}http {{\naccess_log off;\nkeepalive_timeout 75s;\n{temporary}{site}}}\n")
    with running([found("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")], port, folder) as url:
        yield url


@contextlib.contextmanager
def caddy(service: str, folder: Path) -> Iterator[str]:
    port, place = free_port(), service.removeprefix("http://")
    shipped = (DEPLOY / "Caddyfile").read_text()
    site = shipped.replace("127.0.0.1:8000", place).replace(":8080 {", f"http://127.0.0.1:{port} {{")
    site = site.replace("keepalive 60s", f"keepalive {KEPT:.0f}s")
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{site}")
    command = [found("caddy"), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with running(command, port, folder) as url:
        yield url


def found(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        pytest.skip(f"no {name} on PATH: apt-get install {name}")
    return path


@pytest.fixture(params=[nginx, caddy], ids=["nginx", "caddy"])
def front(request, tmp_path) -> Iterator[str]:
    """The proxy before a service that keeps idle connections for a quarter longer than the proxy, as the shipped files have it."""
    with threaded(keep_alive=KEPT * 1.25, trusted_proxies="127.0.0.1") as service, request.param(service, tmp_path) as url:
        yield url


@pytest.mark.fronts
def test_2000_requests_with_pauses_around_the_keep_alive_time(front):
    statuses: Counter[int] = Counter()

    async def one(client: httpx.AsyncClient, draw: random.Random) -> None:
        for _ in range(10):
            await asyncio.sleep(draw.uniform(KEPT * 0.8, KEPT * 1.4))
            statuses[(await client.post("/v1/rerank", json=body("1", "2"))).status_code] += 1

    async def all_of_them() -> None:
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
        async with httpx.AsyncClient(base_url=front, timeout=300, limits=limits) as client:
            await asyncio.gather(*(one(client, random.Random(seed)) for seed in range(200)))

    asyncio.run(all_of_them())
    assert statuses == {200: 2000}


@pytest.mark.fronts
def test_what_is_too_large_is_refused_in_json(front):
    answer = httpx.post(f"{front}/v1/rerank", content=b" " * (9 << 20), timeout=300)
    assert answer.status_code == 413
    assert "max_body_bytes" in answer.json()["message"]
    assert httpx.get(f"{front}/ready", timeout=300).status_code == 200
