"""A reproduction: a YAML of `configs/eval/` with a figure that someone published, and what it takes to see it again here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from firstrank.reranker.config import config_dir, explained, read_yaml
from firstrank.reranker.errors import InputError


class FirstStage(BaseModel):
    """Where the candidates come from: a run in the dataset's folder, else (where that is not there) a retriever."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str | None = Field(default=None, description="a run file in the dataset's folder")
    retriever: str | None = Field(default=None, description="as `firstrank retrieve --retriever` names it")

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if not self.run and not self.retriever:
            raise ValueError("give a run, a retriever, or both")
        return self


class Reproduction(BaseModel):
    """What is run, and what should come out. Without a model, the first stage itself is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="", description="set from the file's name")
    description: str = Field(description="a line about it")
    dataset: str = Field(description="a folder in the folder of collections")
    ir_datasets: str | None = Field(default=None, description="the same dataset's id there, for where the folder is not")
    split: str = Field(default="test", description="of the dataset's judgments")
    first_stage: FirstStage = Field(description="where the candidates come from")
    drop_self: bool = Field(default=False, description="leave out the candidate whose docid is the qid")
    model: str | None = Field(default=None, description="what reranks; by default the first stage is measured")
    strategy: str | None = Field(default=None, description="by default the model's")
    depth: int = Field(default=100, ge=1, description="candidates of a query")
    gpu: bool = Field(default=False, description="the model is too large for a CPU")
    expected: Mapping[str, float] = Field(min_length=1, description="measure -> published figure")
    tolerance: float = Field(gt=0, description="how far off counts as reproduced")
    source: str = Field(min_length=1, description="who published the figure, and where")


def read_reproduction(name: str) -> Reproduction:
    """Raises InputError for an unknown name and for a malformed YAML."""
    path = _folder() / f"{name}.yaml"
    if "/" in name or not path.is_file():
        raise InputError(f"no reproduction is called {name!r}: firstrank reproduce --list names them")
    return _read(path)


def all_reproductions() -> list[Reproduction]:
    """All of them, by name."""
    return [_read(path) for path in sorted(_folder().glob("*.yaml"))]


def named(names: Sequence[str], *, everything: bool) -> list[Reproduction]:
    """The reproductions asked for. Raises InputError for none, and for an unknown name."""
    if everything:
        return all_reproductions()
    if not names:
        raise InputError("give the name of a reproduction, --all, or --list to see what there is")
    return [read_reproduction(name) for name in dict.fromkeys(names)]


def _folder() -> Path:
    return config_dir() / "eval"


def _read(path: Path) -> Reproduction:
    try:
        return Reproduction.model_validate(read_yaml(path) | {"name": path.stem})
    except ValidationError as error:
        raise InputError(f"{path}: {explained(error)}") from error
