"""Windows with one obvious answer each: whether a model, its template and its engine fit together.

A wrong template is the most common reason why a reranker answers politely, and wrongly. Each of a dozen questions is asked over its own
answer and five answers to others; the right one stands in every place twice.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from firstrank.reranker.errors import ModelError
from firstrank.reranker.scorers.base import Scorer, Session
from firstrank.reranker.types import Passage, Request, Scores

FLOOR = 0.5
"""of the accuracy. Chance is 1/6: half of a dozen are found by it once in 130 tries"""
_SIZE = 6
_KNOWN = (
    ("who wrote the novel Emma?", "The novel Emma was written by Jane Austen and published in 1815."),
    ("how do bees make honey?", "Bees collect nectar from flowers and turn it into honey in the hive."),
    ("what is the capital of France?", "Paris is the capital of France and its largest city."),
    ("how far is the moon from the earth?", "The moon is about 384,000 kilometres away from the earth."),
    ("what causes malaria?", "Malaria is caused by parasites that mosquitoes carry from person to person."),
    ("how is bread baked?", "Bread is baked in a hot oven from a dough of flour, water, salt and yeast."),
    ("what does a heart surgeon do?", "A heart surgeon operates on the heart and on the vessels around it."),
    ("when did the Titanic sink?", "The Titanic sank in April 1912 after it had struck an iceberg."),
    ("how do I sort a list in Python?", "In Python, sorted(numbers) returns a sorted list, and numbers.sort() sorts it in place."),
    ("why do leaves turn red in autumn?", "In autumn leaves lose their green chlorophyll, so that red and yellow colours appear."),
    ("how many players has a football team?", "A football team has eleven players on the field, the goalkeeper among them."),
    ("what is a volcano?", "A volcano is an opening in the earth's crust from which lava, ash and gases escape."),
)


@dataclass(frozen=True, slots=True)
class Findings:
    """What a model made of the windows."""

    windows: int
    right: int
    """windows whose best passage was the answer"""
    chosen: tuple[int, ...]
    """how often the passage in each place was the best; the answer is in each equally often"""
    label_mass: float | None
    """the share of probability that the labels have among all tokens, on average; None where the engine does not tell"""

    @property
    def accuracy(self) -> float:
        return self.right / self.windows

    @property
    def position_bias(self) -> float:
        """How much more often the favourite place was chosen than its share: 0 for none, 5/6 for a model that always takes one place."""
        return max(self.chosen) / self.windows - 1 / len(self.chosen)

    @property
    def passed(self) -> bool:
        return self.accuracy >= FLOOR

    def to_dict(self) -> dict[str, Any]:
        return {"passed": self.passed, "accuracy": self.accuracy, "position_bias": self.position_bias} | asdict(self)

    def __str__(self) -> str:
        mass = "" if self.label_mass is None else f", label mass {self.label_mass:.2f}"
        return f"{self.right} of {self.windows} obvious answers found, position bias {self.position_bias:.2f}{mass}"

    def complaint(self, name: str) -> str:
        """What is said of a model that did not pass."""
        return (
            f"model {name!r}: {self}; at least {FLOOR:.0%} are expected. The template, the tokenizer, the labels or the weights are likely "
            f"not those that belong together: `firstrank models info` shows what was read"
        )


def known_windows() -> list[tuple[Request, int]]:
    """The windows, and where in each the answer stands."""
    asked = []
    for number, (question, answer) in enumerate(_KNOWN):
        others = [_KNOWN[(number + step) % len(_KNOWN)][1] for step in (2, 3, 5, 7, 10)]
        place = number % _SIZE
        texts = [*others[:place], answer, *others[place:]]
        asked.append((Request(question, tuple(Passage(str(i), text) for i, text in enumerate(texts)), f"known-{number}"), place))
    return asked


async def check_known_answers(scorer: Scorer) -> Findings:
    """Asks a scorer all of them, as many at once as it likes. Raises what its sessions raise, ModelError where a window does not fit."""
    asked = known_windows()
    gate = asyncio.Semaphore(max(1, scorer.concurrency))
    with ThreadPoolExecutor(1) as thread:  # one that ends: a tokenizer leaves memory with every thread that used it
        answers = await asyncio.gather(*(_answer(scorer, request, gate, thread) for request, _ in asked))
    best = [max(range(_SIZE), key=scores.values.__getitem__) for scores in answers]
    right = sum(found == place for found, (_, place) in zip(best, asked, strict=True))
    counts = Counter(best)
    masses = [scores.label_mass for scores in answers]
    return Findings(len(asked), right, tuple(counts[place] for place in range(_SIZE)), _mean(masses))


def require(findings: Findings, name: str) -> None:
    """Raises ModelError for a model that did not pass."""
    if not findings.passed:
        raise ModelError(findings.complaint(name))


async def _answer(scorer: Scorer, request: Request, gate: asyncio.Semaphore, thread: ThreadPoolExecutor) -> Scores:
    async with gate:
        session: Session = await asyncio.get_running_loop().run_in_executor(thread, scorer.open, request)
        try:
            if session.max_window < _SIZE:
                raise ModelError(f"model {scorer.name!r}: its context is too small: a window holds {session.max_window} short passages")
            return await session.score(tuple(range(_SIZE)))
        finally:
            session.close()


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None
