"""Requests as clients send them, replayed byte for byte but for their texts, and answers as those clients read them.

Where a client can be installed, tests/server/test_clients.py runs the client itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.server.serving import in_loop, serving

BEST_FIRST = [1, 2, 0]


class Replay(NamedTuple):
    path: str
    body: dict[str, Any]
    read: Callable[[Any], list[int]]
    """the order, by the fields that the client reads"""
    count: int = 3


def results(answer: Any) -> list[int]:
    assert all(0 < one["relevance_score"] < 1 for one in answer["results"])
    return [one["index"] for one in answer["results"]]


def data(answer: Any) -> list[int]:
    assert answer["object"] == "list"
    return [one["index"] for one in answer["data"]]


def array(answer: Any) -> list[int]:
    assert all(isinstance(one["score"], float) for one in answer)
    return [one["index"] for one in answer]


def rankings(answer: Any) -> list[int]:
    assert [one["logit"] for one in answer["rankings"]] == sorted((one["logit"] for one in answer["rankings"]), reverse=True)
    return [one["index"] for one in answer["rankings"]]


def by_score(answer: Any) -> list[int]:
    """vLLM's score route keeps the order of the request; its clients sort."""
    assert [one["index"] for one in answer["data"]] == list(range(len(answer["data"])))
    assert {one["object"] for one in answer["data"]} == {"score"}
    return [one["index"] for one in sorted(answer["data"], key=lambda one: -one["score"])]


def infinity(answer: Any) -> list[int]:
    assert answer["object"] == "rerank"
    assert [one["document"] for one in answer["results"]] == ["3", "2", "1"][: len(answer["results"])]
    return [one["index"] for one in answer["results"]]


TEXTS = ["1", "3", "2"]
REPLAYS = {
    "RAGFlow, HuggingFace": Replay("/rerank", {"query": "q", "texts": TEXTS, "raw_scores": False, "truncate": True}, array),
    "RAGFlow, OpenAI-compatible": Replay("/v1/rerank", {"model": "default", "query": "q", "documents": TEXTS, "top_n": 3}, results),
    "RAGFlow, Jina": Replay("/v1/rerank", {"model": "default", "query": "q", "documents": TEXTS, "top_n": 3}, results),
    "texts for booleans and numbers": Replay(
        "/v1/rerank", {"query": "q", "documents": TEXTS, "top_n": "2", "return_documents": "true", "raw_scores": "false"}, results, 2
    ),
    "a float for a number": Replay("/rerank", {"query": "q", "documents": TEXTS, "top_n": 2.0}, results, 2),
    "Dify, text-embeddings-inference": Replay(
        "/rerank", {"query": "q", "texts": TEXTS, "truncate": True, "raw_scores": False, "return_text": False}, array
    ),
    "Dify, OpenAI-compatible": Replay(
        "/v1/rerank", {"model": "default", "query": "q", "documents": TEXTS, "top_n": 3, "return_documents": True}, results
    ),
    "Open WebUI": Replay("/v1/rerank", {"model": "default", "query": "q", "documents": TEXTS, "top_n": 3}, results),
    "Jina": Replay("/v1/rerank", {"model": "default", "query": "q", "documents": TEXTS, "top_n": 2, "return_documents": False}, results, 2),
    "Voyage": Replay("/v1/rerank", {"query": "q", "documents": TEXTS, "model": "default", "top_k": 2, "truncation": True}, data, 2),
    "Voyage, no top_k": Replay(
        "/v1/rerank", {"query": "q", "documents": TEXTS, "model": "default", "top_k": None, "truncation": True}, data
    ),
    "Mixedbread": Replay(
        "/v1/reranking", {"model": "default", "query": "q", "input": TEXTS, "rank_fields": None, "top_k": 3, "return_input": True}, data
    ),
    "Mixedbread, older path": Replay("/v1/reranking/", {"model": "default", "query": "q", "input": TEXTS, "top_k": 1}, data, 1),
    "NVIDIA NIM": Replay(
        "/v1/ranking",
        {"model": "default", "query": {"text": "q"}, "passages": [{"text": text} for text in TEXTS], "truncate": "END"},
        rankings,
    ),
    "vLLM score": Replay("/v1/score", {"model": "default", "text_1": "q", "text_2": TEXTS}, by_score),
    "vLLM score, root": Replay("/score", {"model": "default", "text_1": ["q"], "text_2": TEXTS, "truncate_prompt_tokens": 1000}, by_score),
    "vLLM score, later names": Replay("/score", {"model": "default", "queries": "q", "documents": TEXTS}, by_score),
    "vLLM score, data": Replay("/score", {"model": "default", "data_1": "q", "data_2": TEXTS}, by_score),
    "vLLM rerank": Replay(
        "/v2/rerank", {"model": "default", "query": "q", "documents": TEXTS, "top_n": 0, "truncate_prompt_tokens": None}, results
    ),
    "llama.cpp": Replay("/reranking", {"model": "default", "query": "q", "documents": TEXTS, "top_n": 3}, results),
    "llama.cpp, v1": Replay("/v1/reranking", {"query": "q", "documents": TEXTS}, results),
    "Infinity": Replay(
        "/infinity/rerank", {"query": "q", "documents": TEXTS, "return_documents": True, "raw_scores": False, "model": "default"}, infinity
    ),
    "documents as objects of LangChain": Replay(
        "/v1/rerank", {"query": "q", "documents": [{"page_content": text, "metadata": {"a": 1}} for text in TEXTS]}, results
    ),
    "objects with content": Replay("/v1/rerank", {"query": "q", "documents": [{"id": 7, "content": text} for text in TEXTS]}, results),
    "objects with passage": Replay("/v1/rerank", {"query": "q", "documents": [{"passage": text} for text in TEXTS]}, results),
}


@pytest.mark.parametrize("client", REPLAYS)
@in_loop
async def test_a_clients_own_request(client):
    replay = REPLAYS[client]
    async with serving() as http:
        answer = await http.post(replay.path, json=replay.body)
    assert answer.status_code == 200, answer.text
    assert replay.read(answer.json()) == BEST_FIRST[: replay.count]


@in_loop
async def test_dify_asks_first_what_the_service_is():
    """Its plugin for text-embeddings-inference takes `model_type`, `max_input_length` and `max_client_batch_size` out of /info."""
    async with serving(max_documents=77) as http:
        found = (await http.get("/info")).json()
    assert "reranker" in found["model_type"]
    assert found["max_client_batch_size"] == 77
    assert "max_input_length" in found


@pytest.mark.parametrize("most", [1, 16, 1000])
@in_loop
async def test_clients_are_told_not_to_split_and_how_many_documents_go_at_once(most):
    async with serving(max_documents=most) as client:
        found = (await client.get("/info")).json()
        described = (await client.get("/openapi.json")).text
    assert found["max_client_batch_size"] == most
    assert "nothing is compared between requests" in found["compared"]
    assert "nothing is compared between requests" in described


@in_loop
async def test_rank_fields_are_what_is_read_and_objects_come_back_whole():
    documents = [{"text": "9", "rank": "1", "id": "a"}, {"text": "8", "rank": "3", "id": "b"}, {"text": "7", "rank": "2"}]
    async with serving() as http:
        answer = (await http.post("/v1/rerank", json={"query": "q", "documents": documents, "rank_fields": ["rank"]})).json()
        missing = await http.post("/v1/rerank", json={"query": "q", "documents": documents, "rank_fields": ["body"]})
        unreadable = await http.post("/v1/rerank", json={"query": "q", "documents": ["1", {"title": "x"}]})
    assert [one["index"] for one in answer["results"]] == BEST_FIRST
    assert answer["results"][0]["document"] == documents[1]
    assert missing.status_code == unreadable.status_code == 422
    assert "documents.0: has none of the rank_fields body" in missing.json()["message"]
    assert "documents.1: has none of text, content, page_content, passage" in unreadable.json()["message"]


def test_several_fields_are_joined_as_cohere_did():
    from firstrank.server.shapes.asked import given

    [one] = given([{"title": "Emma: a novel", "text": "By\nAusten", "year": 1815, "x": None}], ["title", "year", "text", "x"])
    assert one.text == "title: 'Emma: a novel'\nyear: 1815\ntext: 'By\n\n  Austen'"


@in_loop
async def test_fields_that_are_not_known_are_said_and_those_that_would_change_the_answer_refused():
    async with serving() as http:
        answer = (await http.post("/v1/rerank", json={"query": "q", "documents": TEXTS, "user": "me", "priority": None})).json()
        refused = [
            await http.post("/v1/rerank", json={"query": "q", "documents": TEXTS, name: value})
            for name, value in [("score_threshold", 0.5), ("activation", False)]
        ]
        harmless = await http.post("/v1/rerank", json={"query": "q", "documents": TEXTS, "score_threshold": None})
    assert answer["warnings"] == answer["meta"]["warnings"] == ["'user' was ignored: it is no field of this route"]
    assert "warnings" not in harmless.json()
    assert harmless.status_code == 200
    for one, name in zip(refused, ("score_threshold", "activation"), strict=True):
        assert one.status_code == 422
        assert name in one.json()["message"]


@in_loop
async def test_pairs_of_different_queries_are_refused_with_a_reason():
    async with serving() as http:
        answer = await http.post("/score", json={"text_1": ["a", "b"], "text_2": ["1", "2"]})
    assert answer.status_code == 422
    assert "one request for each" in answer.json()["message"]


@in_loop
async def test_one_document_is_said_to_have_been_read_by_nobody():
    async with serving() as http:
        found = (await http.post("/v1/rerank", json={"query": "q", "documents": ["1"]})).json()
    assert (found["usage"]["prompt_tokens"] == 0) is any("no document was read" in one for one in found.get("warnings", []))


@in_loop
async def test_head_trailing_slashes_and_a_model_by_its_id():
    async with serving() as http:
        for path in ("/health", "/ready"):
            answer = await http.head(path)
            assert (answer.status_code, answer.content) == (200, b"")
        for path in ("/v1/rerank/", "/rerank/", "/v1/reranking/"):
            assert (await http.post(path, json={"query": "q", "documents": TEXTS})).status_code == 200
        assert (await http.get("/v1/models/")).json()["object"] == "list"
        assert (await http.get("/v1/models/default")).json()["id"] == "default"
        assert (await http.get("/v1/models/nope")).status_code == 404


@in_loop
async def test_a_preflight_may_ask_for_any_header():
    asking = {"origin": "https://a.example", "access-control-request-method": "POST"}
    async with serving(cors_origins="https://a.example, https://b.example") as http:
        for origin in ("https://a.example", "https://b.example"):
            wanted = asking | {"origin": origin, "access-control-request-headers": "authorization, x-stainless-os, x-fern-language"}
            answer = await http.options("/v1/rerank", headers=wanted)
            assert answer.status_code == 200
            assert "x-stainless-os" in answer.headers["access-control-allow-headers"]
