"""docs/javascript.md, run by Node against a live service with the packages as npm gives them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.server.serving import live

pytestmark = [
    pytest.mark.integrations,
    pytest.mark.skipif(shutil.which("node") is None or shutil.which("npm") is None, reason="Node and npm are not installed"),
]
KEY = "sk-javascript-test"
PAGE = Path(__file__).parents[2] / "docs/javascript.md"
PACKAGES = ("cohere-ai@8", "ai@7", "@ai-sdk/cohere@4")


@pytest.fixture(scope="module")
def server(tiny_model):
    flags = ["--model", f"default={tiny_model}", "--threads", "1", "--alias", "*=default", "--cors-origins", "https://shop.example"]
    with live(*flags, env={"FIRSTRANK_API_KEYS": KEY}) as running:
        yield running


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder with the packages installed."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent", *PACKAGES]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=900)
    if done.returncode:
        pytest.skip(f"npm does not give the packages: {done.stderr[-300:]}")
    return folder


@pytest.fixture(scope="module")
def expected(server):
    body = {"query": "who wrote Emma?", "documents": ["Bees make honey.", "Jane Austen wrote Emma.", "Emma is a given name."], "top_n": 2}
    answer = httpx.post(f"{server.url}/v1/rerank", json=body, headers={"authorization": f"Bearer {KEY}"})
    return [one["index"] for one in answer.json()["results"]]


@pytest.mark.parametrize("heading", ["fetch", "Cohere's TypeScript SDK", "Vercel's AI SDK"])
def test_the_page_s_code_gives_the_service_s_order(heading, server, packages, expected):
    text = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2]
    code = re.search(r"```js\n(.*?)```", text, re.S)[1].replace("http://127.0.0.1:8000", server.url).replace("YOUR_KEY", KEY)
    (packages / "run.mjs").write_text(code)
    done = subprocess.run(["node", "run.mjs"], cwd=packages, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


def test_a_page_of_an_allowed_origin_may_call_and_another_may_not(server):
    def asked(origin):
        wanted = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
        return httpx.options(f"{server.url}/v1/rerank", headers=wanted)

    assert asked("https://shop.example").headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in asked("https://other.example").headers
