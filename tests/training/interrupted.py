"""Runs that are killed, and the losses that they logged."""

from __future__ import annotations

from firstrank.training.log import read_log
from firstrank.training.trainer import RankTrainer


class Killed(BaseException):
    """Nothing catches it, like a kill."""


def kill_at(monkeypatch, step: int) -> None:
    usual = RankTrainer.compute_loss

    def loss(self, *args, **kwargs):
        if self.state.global_step == step:
            raise Killed
        return usual(self, *args, **kwargs)

    monkeypatch.setattr(RankTrainer, "compute_loss", loss)


def curve(config) -> list[tuple[float, float, float]]:
    return [(entry["loss"], entry["lm"], entry["rank"]) for entry in read_log(config.output / "log.jsonl") if "loss" in entry]
