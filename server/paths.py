"""The service's paths: those that metrics tell apart, and those that need no key."""

from __future__ import annotations

RERANK = ("/rerank", "/v1/rerank", "/v2/rerank")
PAGE = ("/", "/page.css", "/page.js", "/example.json", "/favicon.svg")
DOCS = ("/docs", "/docs/docs.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css")
OPEN = frozenset({"/health", "/ready", *PAGE})
"""exact paths: anything else, however it is spelled, needs a key where one is set"""
KNOWN = frozenset({*RERANK, *PAGE, *DOCS, *OPEN, "/metrics", "/info", "/v1/models", "/openapi.json"})
