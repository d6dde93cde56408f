"""The service's paths: those that metrics tell apart, and those that need no key."""

from __future__ import annotations

RERANK = ("/rerank", "/v1/rerank", "/v2/rerank")
RERANKING = ("/reranking", "/v1/reranking")
"""llama.cpp's, and Mixedbread's"""
INFINITY = ("/infinity/rerank",)
RANKING = ("/ranking", "/v1/ranking")
"""NIM's"""
SCORE = ("/score", "/v1/score")
"""vLLM's"""
WORK = (*RERANK, *RERANKING, *INFINITY, *RANKING, *SCORE)
"""where documents are ranked"""
METRICS, RELOAD = "/metrics", "/admin/reload"
PAGE = ("/", "/page.css", "/page.js", "/example.json", "/favicon.svg")
DOCS = ("/docs", "/docs/docs.js", "/docs/docs.css", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/openapi.json")
OPEN = frozenset({"/health", "/ready", *PAGE, *DOCS})
"""exact paths: anything else, however it is spelled, needs a key where one is set"""
KNOWN = frozenset({*WORK, *PAGE, *DOCS, *OPEN, METRICS, RELOAD, "/info", "/v1/models"})
_WORDS = {word for path in KNOWN for word in path.split("/")} | {"api", "openai", "embeddings", "embed", "completions", "chat", "predict"}


def route_of(path: str) -> str:
    """A path as metrics name it: one that there is, or "other"."""
    return path if path in KNOWN else "/v1/models/{id}" if path.startswith("/v1/models/") else "other"


def shown(path: str) -> str:
    """A path as the log shows it: words that no secret is made of, a star for each other part."""
    parts = path.split("/")[:8]
    return "/".join(part if part in _WORDS else "*" for part in parts)
