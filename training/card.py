"""What a run looked like, for people: a model card (`README.md`) and pictures of its loss and its nDCG@10."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from firstrank.reranker.models.loaded import Model
from firstrank.training.config import Config
from firstrank.training.log import LOG, read_log
from firstrank.training.sections import ProbeLoss

_log = logging.getLogger(__name__)

README = "README.md"
_PACKAGES = ("firstrank", "torch", "transformers", "peft", "accelerate")


def write_card(config: Config, model: Model, facts: Mapping[str, Any], folder: Path) -> None:
    """`folder/README.md` from the run's log. `facts` are what the run alone knows: examples, processes, trainable weights …"""
    log = read_log(config.output / LOG)
    (folder / README).write_text(card_text(config, model, facts, log), encoding="utf-8")


def card_text(config: Config, model: Model, facts: Mapping[str, Any], log: list[dict[str, Any]]) -> str:
    steps, scores = [entry for entry in log if "loss" in entry], _scored(log)
    rank, lm = config.loss.rank, config.loss.lm
    lines = [
        f"# {config.output.name}",
        "",
        f"A listwise reranker for [Firstrank](https://pypi.org/project/firstrank/): `{model.name}` ({model.spec.licence}), fine-tuned by "
        f"`firstrank train`. It ranks a window of passages {_read(model)}.",
        "",
        "    firstrank rerank --model THIS_FOLDER --run RUN --queries QUERIES --corpus CORPUS --output OUT",
        "",
        "| what | |",
        "|---|---|",
        f"| loss | {lm.weight} · LM ({lm.importance}) + {rank.weight} · {rank.name}{_probed(config.loss.probe)} |",
        f"| tuning | {config.tuning.method}, {config.tuning.precision} |",
        f"| examples | {', '.join(path.name for path in config.train)} |",
        f"| strategy, window, stride | {model.spec.strategy}, {model.spec.window}, {model.spec.stride} |",
        f"| seed | {config.seed} |",
        *(f"| {name} | {value} |" for name, value in facts.items()),
        *_measured(steps, scores),
        f"| made with | {', '.join(f'{name} {version(name)}' for name in _PACKAGES)} |",
        "",
        *(["nDCG@10 on the dev set:", "", *(f"- step {entry['step']}: {entry['ndcg@10']:.4f}" for entry in scores), ""] if scores else []),
        "Not measured here: anything else. The licences of the base weights and of the training data apply.",
        "",
        "<details><summary>Recipe</summary>",
        "",
        "```yaml",
        yaml.safe_dump(config.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True).rstrip(),
        "```",
        "",
        "</details>",
    ]
    return "\n".join(lines) + "\n"


def _read(model: Model) -> str:
    if model.spec.answer == "marks":
        return f"from what the network's first {model.spec.layers} layers say of each"
    return "from the label logits of the first token" if model.spec.answer == "logits" else "by an ordering that it writes"


def _probed(probe: ProbeLoss) -> str:
    parts = (f"{probe.weight:g} · it at layer {probe.layer}", probe.weight), (f"{probe.distill} · distillation to it", probe.distill.ever)
    return "".join(f" + {said}" for said, weight in parts if weight)


def _measured(steps: list[dict[str, Any]], scores: list[dict[str, Any]]) -> list[str]:
    if not steps:
        return []
    tail = steps[-max(1, len(steps) // 20) :]
    means = {name: sum(entry[name] for entry in tail) / len(tail) for name in ("loss", "lm", "rank")}
    rows = [f"| steps | {steps[-1]['step']} |", f"| windows, tokens | {_total(steps, 'windows')}, {_total(steps, 'tokens')} |"]
    rows.append(f"| last losses (mean of {len(tail)} steps) | " + ", ".join(f"{name} {value:.4f}" for name, value in means.items()) + " |")
    if scores:
        best = best_of(scores)
        before = [f"{name} {value:.4f}" for name, value in before_training(scores).items()]
        rows += [f"| dev nDCG@10 before training | {', '.join(before)} |"] if before else []
        rows.append(f"| dev nDCG@10 | {best['ndcg@10']:.4f} at step {best['step']}, whose weights these are |")
    return rows


def _scored(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry for entry in log if "ndcg@10" in entry]


def best_of(scores: list[dict[str, Any]]) -> dict[str, Any]:
    """The evaluation whose weights are exported: the best of those after the first step."""
    return max((entry for entry in scores if entry["step"]), key=lambda entry: entry["ndcg@10"])


def before_training(scores: list[dict[str, Any]]) -> dict[str, float]:
    """nDCG@10 of the first stage and of the untrained weights, on the same queries."""
    return {
        name: entry[key]
        for entry in scores
        if not entry["step"]
        for name, key in (("first stage", "first stage"), ("untrained", "ndcg@10"))
        if key in entry
    }


def warn_below(config: Config) -> None:
    """Says so, where the run's model ranks its dev set worse than what there was before it."""
    scores = _scored(read_log(config.output / LOG))
    if not scores:
        return
    best = best_of(scores)["ndcg@10"]
    for name, value in before_training(scores).items():
        if best < value:
            _log.warning(f"the trained model's nDCG@10 on the dev set, {best:.4f}, is below that of the {name}, {value:.4f}")


def _total(steps: list[dict[str, Any]], name: str) -> str:
    return f"{int(sum(entry[name] for entry in steps)):,}"


def draw_plots(folder: Path) -> list[Path]:
    """`loss.png` and `ndcg.png` from the log; none, and a note, where matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        _log.info("no plots: pip install 'firstrank[train]' brings matplotlib")
        return []
    matplotlib.use("Agg")
    log = read_log(folder / LOG)
    curves = {"loss.png": {name: _curve(log, name) for name in ("loss", "lm", "rank")}, "ndcg.png": {"nDCG@10": _curve(log, "ndcg@10")}}
    drawn = {name: {label: points for label, points in found.items() if any(points[1])} for name, found in curves.items()}
    return [_plot(folder / name, found) for name, found in drawn.items() if found]


def _curve(log: list[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    entries = [entry for entry in log if name in entry]
    return [entry["step"] for entry in entries], [entry[name] for entry in entries]


def _plot(path: Path, curves: Mapping[str, tuple[list[int], list[float]]]) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for label, (steps, values) in curves.items():
        axes.plot(steps, values, label=label, marker="." if len(steps) < 30 else "")
    axes.set_xlabel("step")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    return path
