"""What a server says when it is asked at once, before any query: in a sentence where it cannot be used."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from firstrank.reranker.errors import InputError, ModelError
from firstrank.reranker.scorers.openai.servers import json_of, reason_of


def named_servers(backend: str, urls: Sequence[str]) -> list[str]:
    """Each server once. Raises InputError where none is named."""
    if not urls:
        raise InputError(f"backend {backend}: no server is named: give --base-url (base_urls in Python), for example http://127.0.0.1:8000")
    return list(dict.fromkeys(urls))


def base_url(url: str) -> str:
    """A server's URL, without the `/v1` that other clients want."""
    if httpx.URL(url).userinfo:
        raise InputError(
            f"--base-url: the address of {httpx.URL(url).host} holds a password, and addresses are shown: set OPENAI_API_KEY for a key"
        )
    if httpx.URL(url).scheme not in ("http", "https") or not httpx.URL(url).host:
        raise InputError(f"--base-url {url}: give scheme and host, for example http://127.0.0.1:8000")
    return url.rstrip("/").removesuffix("/v1")


def headers_of() -> dict[str, str]:
    """The key, from the environment alone."""
    key = os.environ.get("OPENAI_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def asked(client: httpx.Client, method: str, url: str, body: Mapping[str, Any] | None = None) -> Any:
    """The JSON of an answer. Raises ModelError where nobody answers, where a key is wanted, and for what is refused."""
    try:
        response = client.request(method, url, json=body)
    except httpx.TransportError as error:
        raise ModelError(f"{url}: no server answers there ({error}); start one: vllm serve MODEL") from error
    if response.status_code in (401, 403):
        raise ModelError(f"{url}: {response.status_code}: the server needs a key: set OPENAI_API_KEY")
    if response.is_error:
        raise ModelError(f"{url}: {response.status_code} {reason_of(response)}")
    return json_of(response)
