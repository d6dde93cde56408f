"""Runs reproductions: reproduced, off by so much, or not to be run here and why; and the page that lists them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from firstrank.eval.datasets import Dataset, open_dataset
from firstrank.eval.machine import machine_facts
from firstrank.eval.report.files import make_folder
from firstrank.eval.reproductions import Reproduction, all_reproductions, read_reproduction
from firstrank.eval.reranking import Reranking
from firstrank.reranker.batch.job import ranked_in
from firstrank.reranker.errors import FirstrankError, InputError, MachineError
from firstrank.reranker.measures import per_query
from firstrank.reranker.retrievers.register import open_retriever, retrieve
from firstrank.reranker.runs.irds import PREFIX
from firstrank.reranker.runs.queries import Query
from firstrank.reranker.runs.trec import Run
from firstrank.reranker.setup import Setup, SetupSettings


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went. `found` is empty where it could not be run here, and `reason` says why."""

    reproduction: Reproduction
    found: Mapping[str, float]
    reason: str
    date: str

    @property
    def reproduced(self) -> bool:
        tolerance = self.reproduction.tolerance
        return bool(self.found) and all(abs(self._off(measure)) <= tolerance for measure in self.reproduction.expected)

    @property
    def state(self) -> str:
        """In words."""
        if not self.found:
            return f"cannot run here: {self.reason}"
        off = ", ".join(f"{measure} {self._off(measure):+.4f}" for measure in self.reproduction.expected)
        return f"reproduced ({off})" if self.reproduced else f"off by {off}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.reproduction.name,
            "state": "reproduced" if self.reproduced else "off" if self.found else "cannot run here",
            "expected": dict(self.reproduction.expected),
            "tolerance": self.reproduction.tolerance,
            "source": self.reproduction.source,
            **{name: value for name, value in asdict(self).items() if name != "reproduction"},
        }

    def _off(self, measure: str) -> float:
        return self.found[measure] - self.reproduction.expected[measure]


@dataclass(frozen=True, slots=True)
class Place:
    """Where reproductions run: the folder of collections, if there is one, and the folder for what models rerank."""

    data: Path | None
    output: Path
    settings: SetupSettings = field(default_factory=SetupSettings)
    """how models run; what they say of the strategy stands in place of the reproduction's own"""

    def attempt(self, reproduction: Reproduction) -> Outcome:
        """Runs one; whatever keeps it from running here becomes its reason."""
        found: dict[str, float] = {}
        reason = ""
        try:
            found = self._run(reproduction)
        except FirstrankError as error:
            reason = str(error)
        return Outcome(reproduction, found, reason, datetime.now(UTC).strftime("%Y-%m-%d"))

    def _run(self, reproduction: Reproduction) -> dict[str, float]:
        if reproduction.gpu and not _has_gpu():
            raise InputError(f"no GPU, and {reproduction.model} is too large for a CPU")
        dataset = self._dataset(reproduction)
        run = dataset.judged(self._first_stage(reproduction, dataset), drop_self=reproduction.drop_self)
        if reproduction.model is not None:
            folder = self.output / reproduction.name
            make_folder(folder)
            setup = Setup.of(reproduction.model, **({"strategy": reproduction.strategy} | self.settings))
            run = Reranking(dataset, run, folder, reproduction.depth).system(setup, reproduction.name).run
        values = per_query(run, dataset.qrels, list(reproduction.expected))
        return {measure: sum(by_query.values()) / len(by_query) for measure, by_query in values.items()}

    def _dataset(self, reproduction: Reproduction) -> Dataset:
        folder = self.data / reproduction.dataset if self.data else None
        if folder is not None and folder.is_dir():
            return open_dataset(str(folder), reproduction.split)
        if reproduction.ir_datasets is None:
            raise InputError(f"no folder {reproduction.dataset} in {self.data or 'the folder of collections: give --data'}")
        if reproduction.first_stage.retriever is None:
            raise InputError(f"no folder {reproduction.dataset} with {reproduction.first_stage.run}: nobody serves that run for download")
        try:
            return open_dataset(PREFIX + reproduction.ir_datasets)
        except MachineError as error:
            raise MachineError(f"no folder {reproduction.dataset}, and {reproduction.ir_datasets} cannot be downloaded") from error

    def _first_stage(self, reproduction: Reproduction, dataset: Dataset) -> Run:
        stage = reproduction.first_stage
        if stage.run is not None and not dataset.source.startswith(PREFIX) and (path := Path(dataset.source) / stage.run).is_file():
            return ranked_in(path)
        if stage.retriever is None:
            raise InputError(f"{dataset.source} has no {stage.run}")
        retriever = open_retriever(stage.retriever, dataset.source)
        try:
            queries = (Query(qid, text) for qid, text in dataset.queries.items())
            return Run(retrieve(retriever, queries, reproduction.depth, drop_self=reproduction.drop_self), name=stage.retriever)
        finally:
            retriever.close()


def page(outcomes: Iterable[Outcome]) -> str:
    """All outcomes as a Markdown page."""
    facts = machine_facts()
    lines = [
        "# Reproductions",
        "",
        "Published figures, run again with `firstrank reproduce NAME`. This page is generated:",
        "`firstrank reproduce --all --page docs/reproductions.md`.",
        f"Last run on {facts['machine']}, Firstrank {facts['versions'].get('firstrank', '?')}, Python {facts['versions']['python']}.",
        "",
    ]
    by_state: dict[str, list[Outcome]] = {"Reproduced": [], "Off": [], "Cannot run here": []}
    for outcome in outcomes:
        by_state["Reproduced" if outcome.reproduced else "Off" if outcome.found else "Cannot run here"].append(outcome)
    for state, group in by_state.items():
        if group:
            lines += [
                f"## {state} ({len(group)})",
                "",
                "| name | what | expected | here | tolerance | state | date | source |",
                "|---|---|---:|---:|---:|---|---|---|",
            ]
            lines += [_row(outcome) for outcome in group] + [""]
    return "\n".join(lines)


def _row(outcome: Outcome) -> str:
    reproduction = outcome.reproduction
    expected = ", ".join(f"{measure} {value:.4f}" for measure, value in reproduction.expected.items())
    found = ", ".join(f"{outcome.found[measure]:.4f}" for measure in reproduction.expected) if outcome.found else "not measured"
    cells = (
        reproduction.name,
        reproduction.description,
        expected,
        found,
        f"{reproduction.tolerance:g}",
        _short(outcome.state),
        outcome.date,
        reproduction.source,
    )
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _short(text: str, characters: int = 160) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def named(names: Sequence[str], *, everything: bool) -> list[Reproduction]:
    """The reproductions asked for. Raises InputError for none, and for an unknown name."""
    if everything:
        return all_reproductions()
    if not names:
        raise InputError("give the name of a reproduction, --all, or --list to see what there is")
    return [read_reproduction(name) for name in dict.fromkeys(names)]
