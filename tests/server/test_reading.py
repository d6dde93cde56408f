"""What is read of a document is said: in /info, in each answer, and where it is wanted whole, by a refusal."""

from __future__ import annotations

import hashlib

import pytest

from firstrank.reranker.models.catalog import read_settings
from firstrank.reranker.setup import Setup
from firstrank.server.facts import facts_of
from tests.server.serving import body, in_loop, serving

LONG = "word " * 15_000


@pytest.fixture
def openers(tiny_model):
    """The service closes what it has opened."""
    return {"default": Setup.of(str(tiny_model), threads=1).open_scorer}


@in_loop
async def test_answers_say_how_many_documents_are_cut_and_where(openers):
    async with serving(openers=openers) as client:
        long = await client.post("/v1/rerank", json=body("short", LONG, "also short"))
        asked = await client.post("/v1/rerank", json=body("one", "two " * 50, LONG, max_tokens_per_doc=8))
        short = await client.post("/v1/rerank", json=body("one", "two"))
        texts = await client.post("/rerank", json={"query": "q", "texts": ["one", LONG]})
    cut = long.json()["meta"]["cut"]
    assert cut["documents"] == 1
    assert 100 < cut["tokens"] < 8192
    assert asked.json()["meta"]["cut"] == {"documents": 2, "tokens": 8}
    assert short.json()["meta"]["cut"]["documents"] == 0
    assert texts.headers["x-documents-cut"] == "1"
    assert int(texts.headers["x-document-tokens"]) > 100


@pytest.mark.parametrize(
    ("path", "asked", "status"),
    [
        ("/v1/rerank", {"query": "q", "documents": ["a", LONG], "truncate": False}, 422),
        ("/v1/rerank", {"query": "q", "documents": ["a", LONG], "top_k": 1, "truncation": False}, 422),
        ("/v1/ranking", {"query": {"text": "q"}, "passages": [{"text": "a"}, {"text": LONG}], "truncate": "NONE"}, 422),
        ("/rerank", {"query": "q", "texts": ["a", LONG], "truncate": False}, 413),
        ("/rerank", {"query": "q", "texts": ["a", "b"], "truncate": False}, 200),
    ],
)
@in_loop
async def test_what_is_wanted_whole_is_not_cut(openers, path, asked, status):
    async with serving(openers=openers) as client:
        answer = await client.post(path, json=asked)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert "1 of 2 passages would be cut at" in answer.json()["message"]


def test_facts_of_a_model_that_reads_a_passage_at_a_time():
    """The shipped default is one, behind a prior."""
    scorer, schedule = Setup.of("default", device="cpu", threads=1).open_scorer()
    try:
        found = facts_of("default", None, scorer, schedule)
    finally:
        scorer.close()
    assert (found["answer"], found["template"], found["max_input_length"]) == ("pointwise", "compact-mark", 80)


def test_facts_of_a_model_are_those_of_its_settings_and_its_files(tiny_model, openers):
    scorer, schedule = openers["default"]()
    found = facts_of(str(tiny_model), None, scorer, schedule)
    scorer.close()
    weights = (tiny_model / "model.safetensors").read_bytes()
    assert found["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert (found["template"], found["dtype"], found["device"]) == (read_settings(str(tiny_model)).template_name, "float32", "cpu")
    assert 100 < found["max_input_length"] < 8192


def test_where_a_model_says_how_much_it_reads_that_is_what_is_told(tmp_path, tiny_model):
    """The default model says so, and it is read from its settings."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in tiny_model.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "firstrank.yaml").write_text("passage_tokens: 17\nexcerpt: query\n")
    scorer, schedule = Setup.of(str(folder), threads=1).open_scorer()
    try:
        found = facts_of(str(folder), None, scorer, schedule)
    finally:
        scorer.close()
    assert found["max_input_length"] == 17
    assert found["excerpt"] == "query"


@in_loop
async def test_info_says_that_nothing_is_compared_between_requests(openers):
    async with serving(openers=openers) as client:
        found = (await client.get("/info")).json()
        described = (await client.get("/openapi.json")).json()
    assert "nothing is compared between requests" in found["compared"]
    assert "nothing is compared between requests" in described["info"]["description"]
    assert "nothing is compared between requests" in described["paths"]["/v1/rerank"]["post"]["description"]
    assert found["max_input_length"] == found["models"]["default"]["max_input_length"]
