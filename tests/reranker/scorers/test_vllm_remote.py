"""A real `vllm serve` over loopback, asked by the remote scorer."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import time

import httpx
import pytest

from reranker.models import load_model
from reranker.scorers import open_scorer
from reranker.types import Passage, Request
from tests.reranker.scorers.windows import assert_agree, score_all

pytestmark = pytest.mark.vllm

STARTED_IN = 300  # seconds, on a busy machine


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The server's address. `vllm serve` itself reads a version under a name that the CPU build does not have; its module does not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", load_model("default").path]
    command += ["--served-model-name", "ranker", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--max-model-len", "2048", "--enforce-eager", "--kv-cache-memory-bytes", str(1 << 30)]
    environment = {"VLLM_CPU_NUM_OF_RESERVED_CPU": "0", "TORCH_COMPILE_DISABLE": "1", "VLLM_NO_USAGE_STATS": "1"}
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(command, env=environment | os.environ, stdout=output, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, server, log)
        yield address
    finally:
        server.terminate()
        server.wait(60)


def wait_for(address, server, log):
    until = time.monotonic() + STARTED_IN
    while time.monotonic() < until:
        if server.poll() is not None:
            break
        try:
            if httpx.get(f"{address}/health", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")


def counts(url):
    said = httpx.get(f"{url}/metrics", trust_env=False).text
    names = ('request_success_total{engine="0",finished_reason="length"', "generation_tokens_total{")
    return [sum(float(value) for value in re.findall(rf"^vllm:{re.escape(name)}.*}} (\S+)$", said, re.MULTILINE)) for name in names]


def test_a_server_answers_by_token_id_as_transformers_does(url, parity_windows, reference):
    scorer, _ = open_scorer("default", "openai", base_urls=(url,))
    before = counts(url)
    found = asyncio.run(score_all(scorer, parity_windows, 16))
    assert_agree(found, reference)
    assert [now - then for now, then in zip(counts(url), before, strict=True)] == [len(found), len(found)]
    assert [one.prompt_tokens for one in found] == [one.prompt_tokens for one in reference]


def test_a_server_answers_for_a_hundred_labels(url):
    scorer, _ = open_scorer("default", "openai", base_urls=(url,))
    request = Request("do bees make honey?", tuple(Passage(str(i), f"bees, part {i}") for i in range(100)))
    [scores] = asyncio.run(score_all(scorer, [request], 1))
    assert len(set(scores.values)) > 90


def test_an_ordering_is_generated_by_a_server(url, parity_windows):
    scorer, _ = open_scorer("default", "openai", base_urls=(url,), answer="permutation")
    [scores] = asyncio.run(score_all(scorer, parity_windows[:1], 1))
    assert sorted(scores.values) == list(range(1, 9))
    assert scores.generated_tokens > 1
