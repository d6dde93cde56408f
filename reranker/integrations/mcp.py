"""A server of the Model Context Protocol: agents rerank documents, and search corpora that whoever started it has named.

>>> server = mcp_server(Reranker("default"), {"notes": Path("notes")})
>>> server.run("stdio")
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

from firstrank.reranker.errors import FirstrankError, InputError
from firstrank.reranker.integrations.shared import shown
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.retrievers.bm25 import BM25
from firstrank.reranker.runs.queries import Query
from firstrank.reranker.texts.folder import folder_passages, is_folder_of_texts
from firstrank.reranker.texts.sources import read_passages
from firstrank.reranker.types import Passage, Ranking

_MOST = 1000
"""documents of a call"""
_DEPTH = 50
"""candidates of a search that the model reads"""


class Found(BaseModel):
    """One document in its new place."""

    index: int = Field(description="its place among the documents given, or in the first stage, from 0")
    id: str
    score: float = Field(
        description="in (0, 1), best first: the probability of relevance where the model is calibrated, else 0.5 is an average document"
    )
    text: str


Asked = Annotated[str, Field(min_length=1, max_length=8000, description="what is searched for")]
Documents = Annotated[list[str], Field(min_length=1, max_length=_MOST, description="texts, in any order")]
Best = Annotated[int, Field(ge=1, le=_MOST, description="so many of the best come back")]
Instruction = Annotated[str | None, Field(description="what counts as relevant; for models whose prompt has a place for it")]


def mcp_server(reranker: Reranker, corpora: Mapping[str, Path] | None = None) -> MCPServer[Any]:
    """The server with its tools: `rerank`, and `search` where corpora are named (folders of texts, or what `read_passages` reads).

    A corpus is indexed when it is first searched. Its `run` takes "stdio" or "streamable-http".
    """
    named = dict(corpora or {})
    server: MCPServer[Any] = MCPServer("firstrank", version=version("firstrank"), instructions=_INSTRUCTIONS, log_level="WARNING")
    opened = cache(lambda name: _Corpus(named[name]))

    @server.tool(description="Puts documents in the order of their relevance to a query, best first.")
    async def rerank(query: Asked, documents: Documents, top_k: Best = 10, instruction: Instruction = None) -> list[Found]:
        return _found(await _saying(reranker.rank_async(query, documents, top_k=top_k, instruction=instruction)))

    if named:

        @server.tool(description=f"Searches a corpus and ranks what it finds, best first. There are: {', '.join(named)}.")
        async def search(query: Asked, corpus: str, top_k: Best = 10, instruction: Instruction = None) -> list[Found]:
            if corpus not in named:
                raise ToolError(f"corpus {corpus!r}: no corpus has that name; there are {', '.join(named)}")
            passages = await _saying(asyncio.to_thread(_candidates, lambda: opened(corpus), query))
            if not passages:
                return []
            return _found(await _saying(reranker.rank_async(query, passages, top_k=top_k, instruction=instruction)))

    return server


_INSTRUCTIONS = "Ranks texts by their relevance to a query with a listwise language model. Scores compare the documents of one call only."


class _Corpus:
    """Passages and their index."""

    def __init__(self, source: Path) -> None:
        read = folder_passages(source) if is_folder_of_texts(source) else read_passages(source)
        self.passages = {passage.docid: passage for passage in read}
        self._index = BM25(self.passages.values())

    def best(self, query: str) -> list[Passage]:
        [ranked] = self._index.search([Query("q", query)], _DEPTH)
        return [self.passages[docid] for docid in ranked.docids]


def _candidates(open_: Callable[[], _Corpus], query: str) -> list[Passage]:
    return open_().best(query)


async def _saying(work: Any) -> Any:
    """The work's result; what Firstrank says of a fault reaches the agent as it is."""
    try:
        return await work
    except FirstrankError as error:
        raise ToolError(str(error)) from error


def _found(ranking: Ranking) -> list[Found]:
    return [Found(index=one.index, id=one.docid, score=shown(one), text=one.passage.text) for one in ranking]


def corpora_of(given: list[str]) -> dict[str, Path]:
    """`NAME=PATH`, or a path that names itself. Raises InputError for one that is not there, and a name that comes twice."""
    found: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        source = Path(path if equals else text).expanduser()
        name = name if equals else source.name
        if not source.exists():
            raise InputError(f"--corpus {text}: there is no such folder or file")
        if not name or name in found:
            raise InputError(f"--corpus {text}: the name {name!r} is {'given twice' if name else 'empty'}; say NAME=PATH")
        found[name] = source
    return found
