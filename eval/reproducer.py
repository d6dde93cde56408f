"""Runs reproductions: what keeps one from running here becomes its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from firstrank.eval.attempts import Attempt
from firstrank.eval.datasets import Dataset, open_dataset
from firstrank.eval.report.files import make_folder
from firstrank.eval.reproductions import Reproduction
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
class Reproducer:
    """Runs reproductions, with the folder of collections, if there is one, and the folder for what models rerank."""

    data: Path | None
    output: Path
    settings: SetupSettings = field(default_factory=SetupSettings)
    """how models run; what they say of the strategy stands in place of the reproduction's own"""

    def attempt(self, reproduction: Reproduction) -> Attempt:
        """Runs one; whatever keeps it from running here becomes its reason."""
        found: dict[str, float] = {}
        reason = ""
        try:
            found = self._run(reproduction)
        except FirstrankError as error:
            reason = str(error)
        return Attempt(reproduction, found, reason, datetime.now(UTC).strftime("%Y-%m-%d"))

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


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())
