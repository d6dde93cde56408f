"""Windows scored by decision endpoints: one `choice` question a window, its options the passages, one probability for each."""

from __future__ import annotations

import time
from collections.abc import Sequence

import httpx

from firstrank.reranker.errors import ModelError, ScorerError
from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.prompt.template import Template
from firstrank.reranker.scorers.decisions.options import DecisionOptions
from firstrank.reranker.scorers.decisions.shapes import SHAPES, Choice, Shape
from firstrank.reranker.scorers.openai.asked import asked, base_url, headers_of, named_servers
from firstrank.reranker.scorers.openai.servers import Servers
from firstrank.reranker.scorers.text_window import TextRequest
from firstrank.reranker.types import UNBOUNDED, Request, Scores

_TRIAL = Choice("do bees make honey?", "Which option answers this best?", ("Stones are hard.", "Bees make honey."))


class DecisionsScorer:
    """A scorer over hosts of one decision model. Each is tried out when this is made: ModelError where it cannot answer as it must."""

    def __init__(self, spec: ModelSpec, options: DecisionOptions) -> None:
        self.name, self._connections = spec.name, options.server.connections
        self._template: Template = spec.read_template()
        self._served = options.server.served_model or spec.name
        urls = [base_url(url) for url in named_servers("decisions", options.base_urls)]
        wanted = list(SHAPES) if options.server.shape == "auto" else [options.server.shape]
        with httpx.Client(headers=headers_of(), timeout=60.0, transport=options.transport, trust_env=False) as client:
            shapes = {self._shape_of(client, url, wanted) for url in urls}
        if len(shapes) > 1:
            raise ModelError(f"the servers are of different kinds ({', '.join(sorted(shapes))}): give servers of one kind only")
        [found] = shapes
        self.shape: Shape = SHAPES[found]
        self._servers = Servers(
            urls, connections=self._connections, timeout=options.server.timeout, headers=headers_of(), transport=options.transport
        )

    @property
    def concurrency(self) -> int:
        return self._connections * len(self._servers.all)

    @property
    def alive(self) -> bool:
        """False while no host answers as it should."""
        return self._servers.alive

    def open(self, request: Request) -> DecisionsSession:
        return DecisionsSession(self, TextRequest.of(request, self._template))

    def close(self) -> None:
        """Ends the connections."""
        self._servers.close()

    async def score(self, asked_for: TextRequest, indices: Sequence[int]) -> Scores:
        """The log probabilities of a window's passages. Raises TransientError, EngineLost, ScorerError."""
        started = time.perf_counter()
        template, n = self._template, len(indices)
        state = asked_for.filled(template.system + template.before, template, n).strip()
        choice = Choice(state, asked_for.filled(template.after, template, n).strip(), tuple(asked_for.texts[i] for i in indices))
        body = self.shape.body(choice)
        answer = await self._servers.post(self.shape.route, lambda url: {"model": self._served, **body})
        read = self.shape.read(answer, choice)
        seconds = time.perf_counter() - started
        return Scores(read.values, read.prompt_tokens, read.generated_tokens, seconds, self.name, label_mass=read.label_mass)

    def _shape_of(self, client: httpx.Client, url: str, wanted: Sequence[str]) -> str:
        """The first of these shapes in which a host answers a small question."""
        refused = []
        for name in wanted:
            shape = SHAPES[name]
            try:
                answer = asked(client, "POST", f"{url}{shape.route}", {"model": self._served, **shape.body(_TRIAL)})
                shape.read(answer, _TRIAL)
                return name
            except (ModelError, ScorerError) as error:
                refused.append(f"{name}: {error}")
        raise ModelError(f"{url} does not answer decisions for the model {self._served!r}: {'; '.join(refused)}")


class DecisionsSession:
    """One request's windows."""

    def __init__(self, scorer: DecisionsScorer, asked_for: TextRequest) -> None:
        self._scorer, self._asked = scorer, asked_for
        self.lengths = asked_for.lengths
        self.max_window = min(len(asked_for.texts), scorer.shape.most)
        self.room = UNBOUNDED

    async def score(self, indices: tuple[int, ...]) -> Scores:
        if len(indices) == 1:
            return Scores((0.0,), scorer=self._scorer.name)  # a question needs two options, and one passage has no rival
        return await self._scorer.score(self._asked, indices)

    def close(self) -> None:
        """Nothing outlives a session: a window whose caller was cancelled has been hung up on."""
