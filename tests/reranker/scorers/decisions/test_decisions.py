"""Decision endpoints in three shapes, against scripted hosts: a question a window, a probability an option."""

from __future__ import annotations

import asyncio
import json
import math

import httpx
import pytest

from firstrank.reranker.errors import InputError, ModelError, ScorerError
from firstrank.reranker.executor.executor import Executor
from firstrank.reranker.scorers.backends import open_scorer
from firstrank.reranker.scorers.openai import servers
from firstrank.reranker.strategies.register import parse_strategy
from firstrank.reranker.types import Passage, Request


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    monkeypatch.setattr(servers, "_FIRST_REST", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def shares_of(texts):
    """Probabilities by the number that a text is; of other texts, equal ones."""
    weights = [math.exp(float(text)) if text.isdigit() else 1.0 for text in texts]
    return [weight / sum(weights) for weight in weights]


def systemone(body):
    """vLLM 0.32: `StructuredDecisionResponse`."""
    [(name, question)] = body["questions"].items()
    assert question["type"] == "choice"
    shares = dict(zip(question["criteria"], shares_of(question["criteria"].values()), strict=True))
    answer = {"type": "choice", "choice": max(shares, key=shares.get), "probabilities": shares, "confidence": 0.5}
    told = {name: {"label_mass": 0.75, "argmax_is_label": True}}
    return {
        "object": "structured_decision",
        "answers": {name: answer},
        "usage": {"input_tokens": 90, "output_tokens": 1},
        "diagnostics": told,
    }


def sglang(body):
    """SGLang 0.5.23: `DecisionResponse`."""
    [question] = body["questions"]
    names, texts = zip(*((one["name"], one["description"]) for one in question["options"]), strict=True)
    answer = {"type": "choice", "probabilities": dict(zip(names, shares_of(texts), strict=True)), "label_mass": 0.5, "choice": names[0]}
    return {"object": "decisions", "prompt_format_version": 1, "answers": {question["id"]: answer}, "usage": {"prompt_tokens": 80}}


def openai(body):
    """OpenAI's SDK 3.57: `Decision`."""
    [question] = body["questions"]
    values, texts = zip(*((one["value"], one["description"]) for one in question["choices"]), strict=True)
    listed = [{"value": value, "probability": share} for value, share in zip(values, shares_of(texts), strict=True)]
    answer = {"type": "choice", "name": question["name"], "choice": values[0], "confidence": 0.5, "probabilities": listed}
    return {"model": body["model"], "answers": [answer], "usage": {"input_tokens": 70, "output_tokens": 0, "total_tokens": 70}}


HOSTS = {"systemone": ("/v1/systemone", systemone), "sglang": ("/v1/decisions", sglang), "openai": ("/v1/decisions", openai)}


class Host(httpx.MockTransport):
    def __init__(self, shape, changed=lambda found: found):
        super().__init__(self._handle)
        self.route, self.answer = HOSTS[shape]
        self.changed, self.bodies = changed, []

    def _handle(self, request):
        body = json.loads(request.content)
        if request.url.path != self.route:
            return httpx.Response(404, json={"detail": "Not Found"})
        try:
            found = self.changed(self.answer(body))
        except (KeyError, TypeError, AssertionError) as error:
            return httpx.Response(400, json={"error": {"message": f"questions: {error}"}})
        self.bodies.append(body)
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)


def opened(kind, changed=lambda found: found, **engine):
    host = Host(kind, changed)
    return open_scorer("decider", "decisions", base_urls=["http://host/v1"], transport=host, engine=engine)[0], host


def request_of(n=4):
    return Request("which is larger?", tuple(Passage(f"d{i}", str(i)) for i in range(n)), "q")


@pytest.mark.parametrize(
    ("shape", "tokens", "mass", "most"), [("systemone", 90, 0.75, 26), ("sglang", 80, 0.5, 26), ("openai", 70, None, 255)]
)
def test_each_shape_is_found_by_itself_and_gives_log_probabilities(shape, tokens, mass, most):
    scorer, host = opened(shape)
    session = scorer.open(request_of(300))
    assert session.max_window == most
    scores = asyncio.run(session.score((0, 2, 1)))
    assert [value - scores.values[0] for value in scores.values] == pytest.approx([0.0, 2.0, 1.0])
    assert (scores.prompt_tokens, scores.label_mass) == (tokens, mass)
    assert host.bodies[-1]["model"] == "decider"
    assert "which is larger?" in json.dumps(host.bodies[-1])


@pytest.mark.parametrize("shape", HOSTS)
@pytest.mark.parametrize("strategy", ["sliding:window=6,stride=3", "tournament:window=6,k=3", "topdown:window=6,k=3", "blitz:window=6,k=3"])
def test_every_strategy_runs_over_it(shape, strategy):
    scorer, _ = opened(shape, shape=shape)
    ranking = asyncio.run(Executor(scorer).rank(request_of(20), parse_strategy(strategy)))
    assert [result.docid for result in ranking][:3] == ["d19", "d18", "d17"]


def lost(found):
    answers = found["answers"]
    answer = answers[0] if isinstance(answers, list) else next(iter(answers.values()))
    shares = answer["probabilities"]
    shares.pop() if isinstance(shares, list) else shares.popitem()
    return found


@pytest.mark.parametrize("shape", HOSTS)
def test_an_option_without_a_probability_a_refusal_by_reason_and_a_wrong_name_are_sentences(shape):
    with pytest.raises(ModelError, match=r"does not answer decisions for the model 'decider': .*lacks 1 of 2 options"):
        opened(shape, lost)
    refused = httpx.Response(404, json={"error": {"message": "The model `decider` does not exist"}})
    with pytest.raises(ModelError, match="404 The model `decider` does not exist"):
        opened(shape, lambda found: refused, shape=shape)

    scorer, host = opened(shape)
    host.changed = lost
    with pytest.raises(ScorerError, match="the host's answer lacks 1 of 4 options"):
        asyncio.run(scorer.open(request_of()).score((0, 1, 2, 3)))
    host.changed = lambda found: httpx.Response(400, json={"error": {"message": "label 'A' is not one token"}})
    with pytest.raises(ScorerError, match="refuses: 400 label 'A' is not one token"):
        asyncio.run(scorer.open(request_of()).score((0, 1)))


def test_a_model_that_will_not_answer_and_an_answer_without_answers():
    scorer, host = opened("openai")
    host.changed = lambda found: found | {"answers": [{"type": "refusal", "name": "best"}]}
    with pytest.raises(ScorerError, match="the model refuses to answer for this window"):
        asyncio.run(scorer.open(request_of()).score((0, 1)))
    host.changed = lambda found: {"ok": True}
    with pytest.raises(ScorerError, match=r"has no answers\.0"):
        asyncio.run(scorer.open(request_of()).score((0, 1)))


def test_one_passage_has_no_rival_and_an_empty_one_is_an_option_too():
    scorer, host = opened("sglang")
    before = len(host.bodies)
    assert asyncio.run(scorer.open(request_of(1)).score((0,))).values == (0.0,)
    assert len(host.bodies) == before
    asyncio.run(scorer.open(Request("q", (Passage("a", ""), Passage("b", "1")), "q")).score((0, 1)))
    assert host.bodies[-1]["questions"][0]["options"][0]["description"] == "(empty)"


def test_no_server_and_an_unknown_shape_are_refused():
    with pytest.raises(InputError, match="backend decisions: no server is named"):
        open_scorer("decider", "decisions")
    with pytest.raises(InputError, match="shape: Input should be 'auto', 'systemone', 'sglang' or 'openai'"):
        opened("openai", shape="other")
