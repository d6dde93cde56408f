"""The clients that people have, unchanged, against a live service. docs/clients.md shows the same lines."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml

from tests.server.serving import live

pytestmark = pytest.mark.integrations

KEY = "sk-clients-test"
QUERY = "who wrote Emma?"
DOCUMENTS = ["Bees make honey.", "Jane Austen wrote Emma.", "Emma is a given name."]
PAGE = Path(__file__).parents[2] / "docs/clients.md"


@pytest.fixture(scope="module")
def server(tiny_model):
    flags = ["--model", f"default={tiny_model}", "--threads", "1", "--alias", "*=default"]
    with live(*flags, env={"FIRSTRANK_API_KEYS": KEY}) as running:
        yield running


@pytest.fixture(scope="module")
def expected(server) -> list[int]:
    """The order that the bare route gives."""
    answer = httpx.post(
        f"{server.url}/v2/rerank", json={"query": QUERY, "documents": DOCUMENTS}, headers={"authorization": f"Bearer {KEY}"}
    )
    return [one["index"] for one in answer.json()["results"]]


def shown(heading: str, server, language: str = "python") -> str:
    """The code under a heading of docs/clients.md, with this service's address and key."""
    text = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2]
    code = re.search(rf"```{language}\n(.*?)```", text, re.S)
    assert code is not None, heading
    return code[1].replace("http://127.0.0.1:8000", server.url).replace("YOUR_KEY", KEY)


def run(heading: str, server) -> dict:
    names: dict = {}
    exec(compile(shown(heading, server), heading, "exec"), names)
    return names


@pytest.mark.parametrize(("top_n", "count"), [(None, 3), (0, 3), (1, 1), (2, 2), (99, 3)])
def test_cohere(server, expected, top_n, count):
    import cohere

    client = cohere.ClientV2(api_key=KEY, base_url=server.url)
    answer = client.rerank(model="rerank-v3.5", query=QUERY, documents=DOCUMENTS, top_n=top_n)
    assert [one.index for one in answer.results] == expected[:count]
    scores = [one.relevance_score for one in answer.results]
    assert scores == sorted(scores, reverse=True)
    assert answer.meta.billed_units.search_units == 1
    assert answer.meta.tokens.input_tokens > 0


def test_cohere_v1_with_documents_as_objects(server, expected):
    import cohere

    client = cohere.Client(api_key=KEY, base_url=server.url)
    documents = [{"text": text, "id": str(i)} for i, text in enumerate(DOCUMENTS)]
    answer = client.rerank(model="rerank-v3.5", query=QUERY, documents=documents, return_documents=True)
    assert [one.index for one in answer.results] == expected
    assert [one.document.text for one in answer.results] == [DOCUMENTS[i] for i in expected]


def test_cohere_raises_its_own_errors(server):
    import cohere
    from cohere.errors import UnauthorizedError, UnprocessableEntityError

    with pytest.raises(UnauthorizedError):
        cohere.ClientV2(api_key="wrong", base_url=server.url).rerank(model="x", query=QUERY, documents=DOCUMENTS)
    with pytest.raises(UnprocessableEntityError):
        cohere.ClientV2(api_key=KEY, base_url=server.url).rerank(model="x", query=QUERY, documents=[])


def test_the_cohere_lines_of_the_page(server, expected):
    assert [one.index for one in run("Cohere's SDK", server)["answer"].results] == expected[:2]


def test_langchain(server, expected):
    documents = run("LangChain", server)["documents"]
    assert [document.page_content for document in documents] == [DOCUMENTS[i] for i in expected[:2]]
    assert documents[0].metadata["relevance_score"] > documents[1].metadata["relevance_score"]


def test_langchain_with_dictionaries_and_every_top_n(server, expected):
    import cohere
    from langchain_cohere import CohereRerank

    reranker = CohereRerank(client=cohere.ClientV2(api_key=KEY, base_url=server.url), model="rerank-v3.5", top_n=3)
    assert [one["index"] for one in reranker.rerank(DOCUMENTS, QUERY, top_n=None)] == expected
    written = [yaml.dump({"text": text}) for text in DOCUMENTS]  # what LangChain makes of a dictionary before it sends it
    as_yaml = [one["index"] for one in reranker.rerank(written, QUERY, top_n=None)]
    for top_n, count in [(None, 3), (0, 3), (2, 2), (50, 3)]:
        found = reranker.rerank([{"text": text} for text in DOCUMENTS], QUERY, top_n=top_n, rank_fields=["text"])
        assert [one["index"] for one in found] == as_yaml[:count]


def test_llama_index(server, expected):
    nodes = run("LlamaIndex", server)["nodes"]
    assert [node.node.get_content() for node in nodes] == [DOCUMENTS[i] for i in expected[:2]]
    assert nodes[0].score > nodes[1].score


def test_litellm(server, expected):
    answer = run("LiteLLM", server)["answer"]
    assert [one["index"] for one in answer.results] == expected[:2]


@pytest.mark.parametrize("provider", ["cohere", "jina_ai", "hosted_vllm"])
@pytest.mark.parametrize(("top_n", "count"), [(None, 3), (0, 3), (1, 1), (99, 3)])
@pytest.mark.parametrize("objects", [False, True])
def test_litellm_through_each_providers_shape(server, expected, provider, top_n, count, objects):
    import litellm

    documents = [{"text": text} for text in DOCUMENTS] if objects else DOCUMENTS
    base = {"cohere": f"{server.url}/v1/rerank", "jina_ai": f"{server.url}/v1/rerank", "hosted_vllm": server.url}[provider]
    answer = litellm.rerank(
        model=f"{provider}/default",
        query=QUERY,
        documents=documents,
        top_n=top_n,
        return_documents=True,
        api_base=base,
        api_key=KEY,
    )
    assert [one["index"] for one in answer.results] == expected[:count]
    assert answer.results[0]["document"]["text"] == DOCUMENTS[expected[0]]


def test_curl(server, expected):
    command = shown("curl", server, "sh")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env={**os.environ, "FIRSTRANK_KEY": KEY})
    assert [one["index"] for one in json.loads(done.stdout)["results"]] == expected[:2]


def test_text_embeddings_inference_with_curl(server):
    command = shown("text-embeddings-inference", server, "sh")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env={**os.environ, "FIRSTRANK_KEY": KEY})
    assert [set(one) for one in json.loads(done.stdout)] == [{"index", "score"}] * 3


def test_openai_asks_for_a_model_by_its_id(server):
    import openai

    client = openai.OpenAI(api_key=KEY, base_url=f"{server.url}/v1")
    assert client.models.retrieve("default").id == "default"
    assert [model.id for model in client.models.list()] == ["default"]


@pytest.mark.parametrize(("top_k", "count"), [(None, 3), (2, 2)])
def test_voyage(server, expected, top_k, count):
    import voyageai

    client = voyageai.Client(api_key=KEY, base_url=f"{server.url}/v1")
    answer = client.rerank(QUERY, DOCUMENTS, model="rerank-2.5", top_k=top_k)
    assert [one.index for one in answer.results] == expected[:count]
    assert [one.document for one in answer.results] == [DOCUMENTS[i] for i in expected[:count]]
    assert answer.total_tokens > 0


def test_mixedbread(server, expected):
    import mixedbread

    client = mixedbread.Mixedbread(api_key=KEY, base_url=server.url)
    answer = client.rerank(model="mixedbread-ai/mxbai-rerank-large-v2", query=QUERY, input=DOCUMENTS, top_k=2, return_input=True)
    assert [one.index for one in answer.data] == expected[:2]
    assert [one.input for one in answer.data] == [DOCUMENTS[i] for i in expected[:2]]
    assert answer.data[0].score > answer.data[1].score
    assert answer.usage.total_tokens > 0


def test_infinity(server, expected):
    pytest.importorskip("infinity_client", reason="it wants httpx below 0.28, other clients do not")
    from infinity_client import AuthenticatedClient
    from infinity_client.api.default import rerank
    from infinity_client.models import RerankInput

    client = AuthenticatedClient(base_url=f"{server.url}/infinity", token=KEY)
    asked = RerankInput(query=QUERY, documents=DOCUMENTS, model="any", return_documents=True, top_n=2)
    answer = rerank.sync(client=client, body=asked)
    assert [one.index for one in answer.results] == expected[:2]
    assert [one.document for one in answer.results] == [DOCUMENTS[i] for i in expected[:2]]


def test_nvidia_nim_through_langchain(server, expected):
    from langchain_core.documents import Document
    from langchain_nvidia_ai_endpoints import NVIDIARerank

    reranker = NVIDIARerank(base_url=f"{server.url}/v1", model="default", nvidia_api_key=KEY, top_n=2)
    documents = reranker.compress_documents([Document(page_content=text) for text in DOCUMENTS], QUERY)
    assert [document.page_content for document in documents] == [DOCUMENTS[i] for i in expected[:2]]
    assert documents[0].metadata["relevance_score"] > documents[1].metadata["relevance_score"]


def test_text_embeddings_inference_through_llama_index(server, expected):
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

    reranker = TextEmbeddingInference(base_url=server.url, model_name="default", top_n=2, auth_token=f"Bearer {KEY}")
    nodes = reranker.postprocess_nodes([NodeWithScore(node=TextNode(text=text), score=1.0) for text in DOCUMENTS], query_str=QUERY)
    assert [node.node.get_content() for node in nodes] == [DOCUMENTS[i] for i in expected[:2]]


def test_cohere_v1_with_rank_fields(server):
    import cohere

    client = cohere.Client(api_key=KEY, base_url=server.url)
    documents = [{"title": text, "text": "the same"} for text in DOCUMENTS]
    asked = {"model": "x", "query": QUERY, "documents": documents, "return_documents": True}
    by_title = client.rerank(**asked, rank_fields=["title"])
    plain = client.rerank(model="x", query=QUERY, documents=DOCUMENTS)
    assert [one.index for one in by_title.results] == [one.index for one in plain.results]
    assert by_title.results[0].document.title == DOCUMENTS[by_title.results[0].index]
