"""SGLang, llama.cpp and Ollama, against servers that answer in the shapes that those publish."""

from __future__ import annotations

import asyncio
import json
import math

import httpx
import pytest

from firstrank.reranker.errors import InputError, ModelError, ScorerError
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.scorers.openai import servers
from firstrank.reranker.types import Passage, Request


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    monkeypatch.setattr(servers, "_FIRST_REST", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


class Scripted(httpx.MockTransport):
    """One server that lists one model and answers at one route."""

    def __init__(self, route, answer):
        super().__init__(self._handle)
        self.route, self.answer, self.bodies = route, answer, []

    def _handle(self, request):
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "served"}]})
        if request.url.path != self.route:
            return httpx.Response(404, json={"error": {"message": f"no route {request.url.path}"}})
        body = json.loads(request.content)
        self.bodies.append(body)
        found = self.answer(body)
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)


def sglang(body):
    """SGLang 0.5.23: `ScoringResponse`."""
    logprobs = [-(index % 89) / 10 for index in body["label_token_ids"]]
    return {"scores": [[math.exp(one) for one in logprobs]], "token_logprobs": [logprobs], "model": "served", "object": "scoring"}


def sglang_before(body):
    return {name: value for name, value in sglang(body).items() if name != "token_logprobs"}


def llamacpp(body):
    """llama.cpp's README of the server: `completion_probabilities` with `top_probs`, where post_sampling_probs is true."""
    labels = [index for index, _ in body["logit_bias"]]
    weights = {index: math.exp(-(index % 89) / 10) for index in labels}
    probs = [{"id": index, "token": "?", "prob": weight / sum(weights.values())} for index, weight in weights.items()]
    return {"content": "A", "completion_probabilities": [{"id": 1, "token": "A", "top_probs": probs[: body["n_probs"]]}]}


def ollama(body):
    """Ollama's API: `logprobs`, a list of a token each, with its `top_logprobs`."""
    top = [{"token": letter, "logprob": -place / 10} for place, letter in enumerate("DCBAxyzuvw"[: body["top_logprobs"]])]
    return {"model": "served", "response": "D", "done": True, "logprobs": [{"token": "D", "logprob": 0.0, "top_logprobs": top}]}


ROUTES = {"sglang": "/v1/score", "llamacpp": "/completion", "ollama": "/api/generate"}


def opened(folder, labels, answer, **engine):
    transport = Scripted(ROUTES[labels], answer)
    engine = {"labels": labels, **engine}
    return open_scorer(str(folder), "openai", base_urls=["http://one"], transport=transport, engine=engine)[0], transport


def window(scorer, n=4, text="passage {}"):
    request = Request("who wrote Emma?", tuple(Passage(str(i), text.format(i)) for i in range(n)), "q")
    return asyncio.run(scorer.open(request).score(tuple(range(n)))), request


@pytest.mark.parametrize(("labels", "answer"), [("sglang", sglang), ("sglang", sglang_before), ("llamacpp", llamacpp)])
def test_by_token_id_the_labels_differ_as_their_logits_do(labels, answer, tiny_model):
    scorer, transport = opened(tiny_model, labels, answer)
    scores, request = window(scorer)
    model = load_model(str(tiny_model))
    wanted = [-(index % 89) / 10 for index in model.prompter.label_ids(4)]
    assert [one - scores.values[0] for one in scores.values] == pytest.approx([one - wanted[0] for one in wanted])
    body, prompt = transport.bodies[-1], model.prompter.encode(request).prompt(range(4))
    assert (body["query"] + body["items"][0] if labels == "sglang" else body["prompt"]) == prompt
    assert body["model"] == "served"


def test_ollama_is_asked_in_raw_text_and_answers_by_text(tiny_model):
    scorer, transport = opened(tiny_model, "ollama", ollama)
    scores, request = window(scorer)
    assert scores.values == (-0.3, -0.2, -0.1, 0.0)
    body, model = transport.bodies[-1], load_model(str(tiny_model))
    assert model.tokenizer.encode(body["prompt"], add_special_tokens=False) == model.prompter.encode(request).prompt(range(4))
    assert (body["raw"], body["stream"], body["options"]["num_predict"]) == (True, False, 1)
    with pytest.raises(ScorerError, match=r"lacks 1 of 5 labels \(E\).*give a smaller --window"):
        window(scorer, 5)


@pytest.mark.parametrize(("labels", "answer"), [("sglang", sglang), ("llamacpp", llamacpp), ("ollama", ollama)])
def test_a_label_that_is_lost_another_shape_and_a_refusal_are_sentences(labels, answer, tiny_model):
    def lost(body):
        found = answer(body)
        if labels == "llamacpp":
            found["completion_probabilities"][0]["top_probs"].pop()
        if labels == "ollama":
            found["logprobs"][0]["top_logprobs"] = found["logprobs"][0]["top_logprobs"][:1]
        if labels == "sglang":
            found = {"scores": [[0.5] + [0.0] * (len(body["label_token_ids"]) - 1)]}
        return found

    with pytest.raises(ModelError, match=r"http://one: the server's answer lacks [12] of 2 labels"):
        opened(tiny_model, labels, lost)
    with pytest.raises(ModelError, match=r"http://one: the server's answer holds no "):
        opened(tiny_model, labels, lambda body: {"error": None})
    with pytest.raises(ModelError, match="400 label_token_ids: out of the vocabulary"):
        opened(tiny_model, labels, lambda body: httpx.Response(400, json={"error": {"message": "label_token_ids: out of the vocabulary"}}))


def test_a_passage_that_spells_a_control_token_does_not_go_out_as_text(tiny_model):
    scorer, _ = opened(tiny_model, "ollama", ollama)
    with pytest.raises(ScorerError, match="contains a control token of the model, and this server takes prompts as text only"):
        window(scorer, 2, text="<|im_end|> {}")


def test_prompts_as_text_for_completions_routes_that_know_no_ids(tiny_model):
    def answer(body):
        assert isinstance(body["prompt"], str)
        return {"choices": [{"text": "A", "logprobs": {"top_logprobs": [{"B": -0.5, "A": -0.1, "C": -2.0}]}}]}

    transport = Scripted("/v1/completions", answer)
    engine = {"labels": "top", "prompts": "text", "top": 1000}
    scorer, _ = open_scorer(str(tiny_model), "openai", base_urls=["http://one"], transport=transport, engine=engine)
    assert window(scorer, 3)[0].values == (-0.1, -0.5, -2.0)
    assert transport.bodies[-1]["logprobs"] == 1000


def test_an_engine_that_is_not_known_is_refused_with_those_that_are(tiny_model):
    with pytest.raises(InputError, match=r"labels: Input should be 'ids', 'top', 'sglang', 'llamacpp' or 'ollama'"):
        open_scorer(str(tiny_model), "openai", base_urls=["http://one"], engine={"labels": "tensorrt"})
