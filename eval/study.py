"""One `firstrank eval`: runs and models in, a folder of results out."""

from __future__ import annotations

import logging
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstrank.eval.costs import TraceObject, read_traces
from firstrank.eval.datasets import SPLIT, Dataset, of_files, open_dataset
from firstrank.eval.evaluation import Evaluation, Method, System, evaluate
from firstrank.eval.machine import machine_facts
from firstrank.eval.report.files import prepare, write_report
from firstrank.eval.reranking import Opener, Reranking, one_at_a_time, stem_of
from firstrank.reranker.batch.job import ranked_in
from firstrank.reranker.errors import InputError
from firstrank.reranker.measures import measurable
from firstrank.reranker.runs.files import fingerprint
from firstrank.reranker.setup import Setup

_log = logging.getLogger(__name__)

PACKAGES = ("ir-measures", "pytrec-eval-terrier", "scipy", "numpy", "torch", "transformers", "vllm")
_SUFFIXES = (".gz", ".trec", ".txt", ".run", ".jsonl", ".res")


@dataclass(frozen=True, slots=True)
class Study:
    """What is measured, and how. `setups` are models that rerank the first run."""

    dataset: str | None
    split: str | None
    runs: Sequence[Path]
    traces: Sequence[str]
    setups: Sequence[Setup]
    output: Path
    depth: int = 100
    drop_self: bool = False
    measures: Sequence[str] = ()
    method: Method = Method()
    passages: bool = True
    limit: int | None = None
    """so many judged queries only, the first ones"""
    files: Files | None = None
    """judgments, queries and texts as single files, in place of a dataset"""
    opener: Opener = one_at_a_time

    def run(self) -> Evaluation:
        """Measures, writes the report, and gives what it found."""
        if not self.runs:
            raise InputError("--run: not given; at least one run is needed (firstrank retrieve makes one)")
        if self.depth < 1:
            raise InputError(f"--depth {self.depth}: must be at least 1")
        dataset = self._dataset().first(self.limit)
        systems = self._systems(dataset)
        measures = measurable(self.measures, dataset.qrels) if self.measures else ()  # told before a model has run for hours
        self._check_overwriting(systems)
        prepare(self.output)
        if self.setups:
            reranking = Reranking(dataset, systems[0].run, self.output, self.depth, self.opener)
            systems += [reranking.system(setup, f"{setup.model} on {systems[0].name}") for setup in self.setups]
        if self.method.baseline is not None:
            systems.sort(key=lambda one: one.name != self.method.baseline)
        evaluation = evaluate(dataset, systems, measures, self.method)
        write_report(self.output, evaluation, self.facts(), passages=self.passages)
        for note in evaluation.notes:
            _log.info("%s", note)
        return evaluation

    def _systems(self, dataset: Dataset) -> list[System]:
        names = run_names(self.runs)
        traces = _traces_by_name(self.traces, names)
        if self.method.baseline is not None and not self.setups and self.method.baseline not in names:
            raise InputError(f"--baseline {self.method.baseline}: give the name of a run: {', '.join(names)}")
        return [self._system(name, path, traces.get(name, ()), dataset) for name, path in zip(names, self.runs, strict=True)]

    def _system(self, name: str, path: Path, traces: Sequence[TraceObject], dataset: Dataset) -> System:
        run = ranked_in(path)
        judged = dataset.judged(run, drop_self=self.drop_self)
        unjudged = () if self.limit is not None else tuple(qid for qid in run if qid not in dataset.qrels)
        return System(name, judged, _judged(traces, dataset), {"run": str(path), "sha256": fingerprint(path)}, unjudged)

    def _dataset(self) -> Dataset:
        if self.files is not None:
            return of_files(self.files.qrels, self.files.queries, self.files.corpus)
        if self.dataset is None:
            raise InputError("--dataset: not given; give it, or judgments by --qrels")
        return open_dataset(self.dataset, self.split)

    def _check_overwriting(self, systems: Sequence[System]) -> None:
        """Raises InputError where a run that is read would be replaced by one that is written."""
        if not self.setups:
            return
        if self.files is not None and not (self.files.queries and self.files.corpus):
            raise InputError("--rerank: reads queries and passages: give --queries and --corpus (or --dataset)")
        names = ["first_stage", *(stem_of(f"{setup.model} on {systems[0].name}") for setup in self.setups)]
        written = {(self.output / f"{name}.trec").resolve() for name in names}
        for path in self.runs:
            if path.resolve() in written:
                raise InputError(f"--run {path}: would be replaced by what is reranked into {self.output}: give another --output")

    def facts(self) -> dict[str, Any]:
        """What makes the figures comparable."""
        dropped = {"left out": "the candidate whose docid is the qid"} if self.drop_self else {}
        source = self.dataset if self.files is None else self.files.qrels
        asked = {"command": shlex.join(["firstrank", *sys.argv[1:]]), "dataset": source, "judgments' hash": self._judgments_hash()}
        limited = {} if self.limit is None else {"limited to": f"the first {self.limit} judged queries"}
        return machine_facts(PACKAGES) | asked | {"runs": ", ".join(map(str, self.runs))} | dropped | limited

    def _judgments_hash(self) -> str:
        if self.files is not None:
            return fingerprint(self.files.qrels)
        folder = Path(self.dataset or "")
        return fingerprint(folder / "qrels" / f"{self.split or SPLIT}.tsv") if folder.is_dir() else str(self.dataset)


@dataclass(frozen=True, slots=True)
class Files:
    """A collection as single files."""

    qrels: str
    queries: str | None = None
    corpus: str | None = None


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
