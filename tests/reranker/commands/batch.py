"""A small batch on disk, and the command line called in this process."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstrank.reranker.cli import main

FIRST_STAGE = [f"d{n}" for n in range(30)]
"""the candidates of each query as they come, without its qid"""


def of(qid: str, docids: list[str]) -> list[str]:
    """A query's docids without its qid."""
    return [docid.removeprefix(qid) for docid in docids]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal:
    """Calls `firstrank` as a shell would, without a new process."""

    def __init__(self, monkeypatch: Any, capfd: Any) -> None:
        self._monkeypatch, self._capfd = monkeypatch, capfd

    def __call__(self, *arguments: object) -> Ended:
        self._monkeypatch.setattr(sys, "argv", ["firstrank", *map(str, arguments)])
        self._capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ended(code, *self._capfd.readouterr())


@dataclass(frozen=True)
class Batch:
    """Three queries q1 … q3 with thirty candidates each; the judged best, d29 of each query, is last in the first stage."""

    folder: Path

    QUERIES, DEPTH = 3, 30

    def write(self) -> Batch:
        names = [f"q{i}d{n}" for i in range(1, self.QUERIES + 1) for n in range(self.DEPTH)]
        self.file("corpus.jsonl").write_text(
            "".join(json.dumps({"_id": name, "title": "", "text": f"all of {name}"}) + "\n" for name in names)
        )
        self.file("queries.tsv").write_text("".join(f"q{i}\twhat is {i}?\n" for i in range(1, self.QUERIES + 1)))
        lines = [f"q{i} Q0 q{i}d{n} {n + 1} {self.DEPTH - n} first\n" for i in range(1, self.QUERIES + 1) for n in range(self.DEPTH)]
        self.file("run.trec").write_text("".join(lines))
        judged = [f"q{i} 0 q{i}d{n} {n // 10}\n" for i in range(1, self.QUERIES + 1) for n in range(self.DEPTH)]
        self.file("qrels.txt").write_text("".join(judged))
        return self

    def file(self, name: str) -> Path:
        return self.folder / name

    @property
    def output(self) -> Path:
        return self.file("out.trec")

    def arguments(self, **changes: object) -> list[str]:
        """`firstrank rerank` over this batch; an option in `changes` replaces one, None leaves it out, True gives a flag."""
        options: dict[str, object] = {
            "run": self.file("run.trec"),
            "queries": self.file("queries.tsv"),
            "corpus": self.file("corpus.jsonl"),
            "output": self.output,
            "backend": "oracle",
            "qrels": self.file("qrels.txt"),
        }
        options |= {name.replace("_", "-"): value for name, value in changes.items()}
        given = [(f"--{name}", value) for name, value in options.items() if value is not None]
        return ["rerank", *(word for name, value in given for word in ([name] if value is True else [name, str(value)]))]

    def written(self) -> dict[str, list[str]]:
        """qid -> docids, as they stand in the output."""
        found: dict[str, list[str]] = {}
        for line in self.output.read_text().splitlines():
            qid, _, docid, *_ = line.split()
            found.setdefault(qid, []).append(docid)
        return found

    def left(self) -> list[str]:
        """What stands beside the inputs."""
        inputs = {"corpus.jsonl", "queries.tsv", "run.trec", "qrels.txt"}
        return sorted(file.name for file in self.folder.iterdir() if file.name not in inputs)
