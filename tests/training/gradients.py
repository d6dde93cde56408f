"""Takes one step of a recipe (JSON on the command line) and saves the gradient of every weight that moves: `python -m … RECIPE FILE`."""

from __future__ import annotations

import json
import os
import sys

import torch
from transformers import TrainerCallback

from firstrank.training.config import Config
from firstrank.training.output import check_output
from firstrank.training.run import _trainer, open_model, part
from firstrank.training.samples.examples import Examples


class Save(TrainerCallback):
    def __init__(self, file: str) -> None:
        self._file = file

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        if state.is_world_process_zero:
            found = {name.removeprefix("module."): p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
            torch.save(found, self._file)


def step(config: Config, file: str) -> None:
    model, examples = open_model(config), Examples(config.train)
    check_output(config, examples.hashes)
    trainer = _trainer(config, model, examples, None)
    assert trainer.args.world_size == int(os.environ.get("WORLD_SIZE", 1))
    trainer.add_callback(Save(file))
    trainer.train()
    part()


if __name__ == "__main__":
    torch.set_num_threads(1)
    step(Config.model_validate(json.loads(sys.argv[1])), sys.argv[2])
