"""What a served model is: its template, weights and numbers, as `/info` tells them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from firstrank.reranker.errors import FirstrankError
from firstrank.reranker.models import weights
from firstrank.reranker.models.catalog import find_model
from firstrank.reranker.scorers.base import Scorer, reading_of
from firstrank.reranker.strategies.prior import Prior
from firstrank.reranker.strategies.schedule import WINDOW, Schedule
from firstrank.reranker.types import Passage, Request

_LONG = "word " * 8192
_HASHED = 4 << 30
"""bytes of weights that are hashed when a model is loaded, a few seconds' worth; of more the revision is told alone"""


def facts_of(source: str | None, revision: str | None, scorer: Scorer, schedule: Schedule) -> dict[str, Any]:
    """Template, weights, their digest, type of numbers, device, and at how many tokens a document is cut. Takes seconds."""
    found = {"dtype": _plain(getattr(scorer, "dtype", None)), "device": _plain(getattr(scorer, "device", None))}
    return (_said(source) if source is not None else {}) | {"revision": revision, **found, "max_input_length": longest(scorer, schedule)}


def longest(scorer: Scorer, schedule: Schedule) -> int | None:
    """Tokens at which a document is cut in a window of the usual size; None where none was cut that has 8,192 words."""
    window = schedule.window if isinstance(schedule.window, int) else WINDOW
    session = scorer.open(Request("which is larger?", tuple(Passage(str(place), _LONG) for place in range(window)), "longest"))
    try:
        reading = reading_of(session)
    finally:
        session.close()
    return reading.tokens if reading is not None and reading.cut else None


def read_at_most(scorer: Scorer, n: int) -> int:
    """Of n documents, how many the model reads; the others a prior has put behind."""
    prior = getattr(scorer, "prior", None)
    return min(n, prior.depth) if isinstance(prior, Prior) and prior.depth is not None else n


def _said(source: str) -> dict[str, Any]:
    """What the model's settings say."""
    try:
        spec, folder = find_model(source)
    except FirstrankError:
        return {}
    where = folder or weights.cached(spec)
    template = spec.any_template()
    return {
        "source": source,
        "weights": spec.source,
        "weights_sha256": None if where is None else _digest(where),
        "template": spec.template_name,
        "excerpt": template.excerpt,
        "answer": spec.answer,
        "licence": spec.licence,
    }


def _digest(folder: Path) -> str | None:
    files = sorted(folder.rglob("*.safetensors")) or sorted(folder.rglob("*.bin"))
    if not files or sum(file.stat().st_size for file in files) > _HASHED:
        return None
    digests = [_file_digest(path) for path in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value: object) -> str | None:
    return None if value is None else str(value).removeprefix("torch.")
