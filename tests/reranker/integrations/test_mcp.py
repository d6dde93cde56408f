"""The Model Context Protocol, asked by the SDK's own client: in this process, over stdio, and over streamable HTTP."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time

import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.reranker import Reranker
from tests.reranker.fakes import FakeScorer

pytestmark = pytest.mark.integrations
COMMAND = [
    sys.executable,
    "-c",
    "from firstrank.reranker.commands.mcp import mcp; import typer; app = typer.Typer(); app.command()(mcp); app()",
]


@pytest.fixture
def folder(tmp_path):
    """Notes on bees and books."""
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    (tmp_path / "notes" / "bees.md").write_text("Bees make honey.\n\nBees sleep at night.\n")
    (tmp_path / "notes" / "deep" / "books.txt").write_text("Jane Austen wrote Emma.")
    (tmp_path / "notes" / "picture.png").write_bytes(b"\x89PNG bees")
    (tmp_path / "notes" / ".hidden.md").write_text("secret bees")
    return tmp_path / "notes"


async def ask(server, tool, **arguments):
    from mcp import Client

    async with Client(server) as client:
        return await client.call_tool(tool, arguments)


def answer(result):
    assert not result.is_error, result.content
    return result.structured_content["result"]


def test_rerank_gives_the_best_first_with_places_and_texts():
    from firstrank.reranker.integrations.mcp import mcp_server

    with Reranker(FakeScorer()) as reranker:
        found = answer(asyncio.run(ask(mcp_server(reranker), "rerank", query="larger?", documents=["1", "3", "2"], top_k=2)))
    assert [(one["index"], one["id"], one["text"]) for one in found] == [(1, "1", "3"), (2, "2", "2")]
    assert 0 < found[1]["score"] < found[0]["score"] < 1


def test_search_is_over_the_folders_that_were_named(folder, tiny_model):
    from firstrank.reranker.integrations.mcp import mcp_server

    with Reranker(str(tiny_model), device="cpu", threads=1) as reranker:
        server = mcp_server(reranker, {"notes": folder})
        found = answer(asyncio.run(ask(server, "search", query="do bees sleep?", corpus="notes")))
        assert [one["id"] for one in found] == ["bees.md#1"]
        assert "Bees sleep at night." in found[0]["text"]
        assert answer(asyncio.run(ask(server, "search", query="zebra", corpus="notes"))) == []
        elsewhere = asyncio.run(ask(server, "search", query="bees", corpus="/etc"))
    assert elsewhere.is_error
    assert "no corpus has that name; there are notes" in elsewhere.content[0].text


def test_what_cannot_be_is_told_to_the_agent(tiny_model):
    from firstrank.reranker.integrations.mcp import mcp_server

    with Reranker(str(tiny_model), device="cpu", threads=1) as reranker:
        server = mcp_server(reranker)
        told = asyncio.run(ask(server, "rerank", query="q", documents=["a", "b"], instruction="refute it"))
        assert told.is_error
        assert "has no place for one" in told.content[0].text
        assert asyncio.run(ask(server, "rerank", query="q", documents=[])).is_error


def test_corpora_are_named_or_name_themselves(folder):
    from firstrank.reranker.integrations.mcp import corpora_of

    assert corpora_of([str(folder), f"mine={folder}"]) == {"notes": folder, "mine": folder}
    for wrong, problem in (("nowhere", "there is no such folder"), (f"=={folder}", "no such folder")):
        with pytest.raises(InputError, match=problem):
            corpora_of([wrong])
    with pytest.raises(InputError, match="given twice"):
        corpora_of([str(folder), f"notes={folder}"])


def test_over_stdio(folder, tiny_model):
    from mcp import StdioServerParameters

    arguments = [*COMMAND[1:], "--model", str(tiny_model), "--device", "cpu", "--corpus", f"notes={folder}"]
    server = StdioServerParameters(command=COMMAND[0], args=arguments)
    found = answer(asyncio.run(ask(server, "search", query="Emma", corpus="notes")))
    assert [one["id"] for one in found] == ["deep/books.txt#1"]


def test_over_streamable_http(tiny_model):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*COMMAND, "--model", str(tiny_model), "--device", "cpu", "--transport", "http", "--port", str(port)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(4500):  # 15 minutes
            assert server.poll() is None
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        found = answer(asyncio.run(ask(f"http://127.0.0.1:{port}/mcp", "rerank", query="q", documents=["a", "b", "c"])))
        assert sorted(one["id"] for one in found) == ["0", "1", "2"]
    finally:
        server.terminate()
        server.wait(300)
