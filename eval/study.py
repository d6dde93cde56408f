"""One `firstrank eval`: runs and models in, a folder of results out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstrank.eval.costs import TraceObject, read_traces
from firstrank.eval.datasets import Dataset, open_dataset
from firstrank.eval.evaluation import Evaluation, System, evaluate
from firstrank.eval.machine import machine_facts
from firstrank.eval.report.files import prepare, write_report
from firstrank.eval.reranking import Opener, Reranking, one_at_a_time
from firstrank.reranker.batch.job import ranked_in
from firstrank.reranker.errors import InputError
from firstrank.reranker.measures import measurable
from firstrank.reranker.setup import Setup

_log = logging.getLogger(__name__)

PACKAGES = ("ir-measures", "pytrec-eval-terrier", "scipy", "numpy", "torch", "transformers", "vllm")
_SUFFIXES = (".gz", ".trec", ".txt", ".run", ".jsonl", ".res")


@dataclass(frozen=True, slots=True)
class Study:
    """What is measured, and how. `setups` are models that rerank the first run."""

    dataset: str
    split: str | None
    runs: Sequence[Path]
    traces: Sequence[str]
    setups: Sequence[Setup]
    output: Path
    depth: int = 100
    drop_self: bool = False
    measures: Sequence[str] = ()
    seed: int = 0
    passages: bool = True
    opener: Opener = one_at_a_time

    def run(self) -> Evaluation:
        """Measures, writes the report, and gives what it found."""
        if not self.runs:
            raise InputError("--run: not given; at least one run is needed (firstrank retrieve makes one)")
        if self.depth < 1:
            raise InputError(f"--depth {self.depth}: must be at least 1")
        dataset = open_dataset(self.dataset, self.split)
        systems = self._systems(dataset)
        measures = measurable(self.measures, dataset.qrels) if self.measures else ()  # told before a model has run for hours
        prepare(self.output)
        if self.setups:
            reranking = Reranking(dataset, systems[0].run, self.output, self.depth, self.opener)
            systems += [reranking.system(setup, f"{setup.model} on {systems[0].name}") for setup in self.setups]
        evaluation = evaluate(dataset, systems, measures, self.seed)
        write_report(self.output, evaluation, self.facts(), passages=self.passages)
        for one in evaluation.systems:
            if one.missing:
                _log.info(f"{one.name}: lacks {len(one.missing)} of {len(dataset.qrels)} judged queries; each counts 0")
        return evaluation

    def _systems(self, dataset: Dataset) -> list[System]:
        names = run_names(self.runs)
        traces = _traces_by_name(self.traces, names)
        return [
            System(name, dataset.judged(ranked_in(path), drop_self=self.drop_self), _judged(traces.get(name, ()), dataset))
            for name, path in zip(names, self.runs, strict=True)
        ]

    def facts(self) -> dict[str, Any]:
        """What makes the figures comparable."""
        dropped = {"left out": "the candidate whose docid is the qid"} if self.drop_self else {}
        return machine_facts(PACKAGES) | {"dataset": self.dataset, "runs": ", ".join(map(str, self.runs))} | dropped


def run_names(paths: Sequence[Path]) -> list[str]:
    """What runs are called: their file's name without its endings, with as many folders as it takes to tell them apart."""
    stems = [path.with_name(_stem(path.name)) for path in paths]
    for parts in range(1, 5):
        names = ["/".join(stem.parts[-parts:]) for stem in stems]
        if len(set(names)) == len(names):
            return names
    [(twice, _)] = Counter(map(str, paths)).most_common(1)
    raise InputError(f"--run {twice}: given twice")


def _stem(name: str) -> str:
    while (suffix := Path(name).suffix) in _SUFFIXES and Path(name).stem:
        name = name.removesuffix(suffix)
    return name


def _traces_by_name(given: Sequence[str], names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for one in given:
        name, equals, path = one.partition("=")
        if not equals or name not in names:
            raise InputError(f"--trace {one}: give NAME=FILE, the name being that of a run: {', '.join(names)}")
        found[name] = read_traces(Path(path))
    return found


def _judged(traces: Sequence[TraceObject], dataset: Dataset) -> list[TraceObject]:
    return [trace for trace in traces if trace.get("qid") in dataset.qrels]
