"""`firstrank mcp`: the reranker as a tool for agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from firstrank.reranker.commands.console import note, speak_on_standard_error
from firstrank.reranker.commands.options import INPUT, MODEL, expanded, option
from firstrank.reranker.errors import MissingExtra

if TYPE_CHECKING:
    from firstrank.reranker.setup import SetupSettings

SERVICE = "Service"


@expanded
def mcp(
    model: Annotated[str, option(MODEL, "A name (firstrank models list), a folder, or a Hugging Face id.")] = "default",
    *,
    settings: SetupSettings,
    corpus: Annotated[
        list[str] | None, option(INPUT, "A folder of texts or a corpus to search, as NAME=PATH; may be given several times.")
    ] = None,
    transport: Annotated[Literal["stdio", "http"], option(SERVICE, "stdio, or http for streamable HTTP.")] = "stdio",
    host: Annotated[str, option(SERVICE, "http: the address to listen on.")] = "127.0.0.1",
    port: Annotated[int, option(SERVICE, "http: the port to listen on.")] = 8001,
) -> None:
    """Serves the tools rerank and search over the Model Context Protocol, for agents."""
    from firstrank.reranker.reranker import Reranker
    from firstrank.reranker.setup import Setup

    try:
        from firstrank.reranker.integrations.mcp import corpora_of, mcp_server
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("mcp"):
            raise
        raise MissingExtra("mcp", "mcp", "firstrank mcp") from error
    speak_on_standard_error()  # standard output is the protocol's
    corpora = corpora_of(corpus or [])
    with Reranker(Setup.of(model, **settings)) as reranker:
        server = mcp_server(reranker, corpora)
        if transport == "stdio":
            server.run("stdio")
        else:
            note(f"listening on http://{host}:{port}/mcp")
            server.run("streamable-http", host=host, port=port)
