"""transformers' Trainer, told where samples come from, what the loss is, and how weights are scored.

Samples are numbered through the whole run, and a step takes the next ones: a run that is resumed at a step goes on with the sample
that comes next, whatever the number of workers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import TrainOutput

from firstrank.reranker.errors import FirstrankError, InputError
from firstrank.reranker.models.loaded import Model
from firstrank.training.config import Config
from firstrank.training.dev import DevSet
from firstrank.training.network import causal_model
from firstrank.training.samples.batch import Batch, collate
from firstrank.training.samples.sample import Sample, Samples
from firstrank.training.total_loss import Terms, TotalLoss

_PROJECTORS = (
    ("galore_torch.galore_projector", "GaLoreProjector"),
    ("apollo_torch.random_projector", "GradientProjector"),
    ("apollo_torch.svd_projector", "GaLoreProjector"),
)
"""what optimisers of low rank keep in their state beside tensors"""


class Shares(Sampler[list[int]]):
    """The samples of each forward pass of one process, from the step where the run stands to its end."""

    def __init__(self, passes: int, windows: int, processes: int, process: int) -> None:
        self._passes, self._windows, self._processes, self._process = passes, windows, processes, process
        self.start = 0

    def __len__(self) -> int:
        """Of the whole run, wherever it starts."""
        return self._passes

    def __iter__(self) -> Iterator[list[int]]:
        for i in range(self.start, self._passes):
            first = (i * self._processes + self._process) * self._windows
            yield list(range(first, first + self._windows))


class Diverged(FirstrankError):
    """A loss or a gradient is not a finite number; the weights have not moved since."""


class RankTrainer(Trainer):
    """Trains a network from `firstrank.training.network` on Samples."""

    def __init__(self, network: Any, config: Config, model: Model, samples: Samples, dev: DevSet | None, args: TrainingArguments) -> None:
        super().__init__(model=network, args=args, train_dataset=samples, eval_dataset=dev)
        self.model_accepts_loss_kwargs = False  # losses are means over windows: to be divided by the passes of a step
        self._config, self._first_model, self._samples, self._dev = config, model, samples, dev
        self._total_loss = TotalLoss(config)
        self._sums = {"lm": 0.0, "rank": 0.0, "probe": 0.0, "windows": 0.0, "tokens": 0.0}
        self.remove_callback(PrinterCallback)
        self.add_callback(_FiniteGradients(self))
        self._patience = Patience(config.dev.patience) if config.dev and config.dev.patience else None
        if self._patience is not None:
            self.add_callback(self._patience)

    @property
    def finished(self) -> bool:
        """All steps taken, or no better nDCG@10 to be expected."""
        return self.state.global_step >= self.args.max_steps or bool(self._patience and self._patience.spent)

    def get_train_dataloader(self) -> DataLoader[Any]:
        batch = self._config.batch
        shares = Shares(
            self.args.max_steps * batch.accumulation, batch.windows, self.accelerator.num_processes, self.accelerator.process_index
        )
        shares.start = _step(self._resumed) * batch.accumulation if self._resumed else 0
        return DataLoader(
            self._samples,
            batch_sampler=shares,
            collate_fn=partial(_collated, packing=batch.packing, pad=self._first_model.tokenizer.pad_token_id or 0),
            num_workers=batch.workers,
            generator=torch.Generator(),  # of its own: drawing from torch's would move dropout
        )

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Raises InputError for an optimiser whose package is not installed, or that does not suit the network."""
        try:
            optimiser = super().create_optimizer(*args, **kwargs)
        except (ImportError, ValueError, TypeError, NotImplementedError) as error:
            raise InputError(f"optimiser {self._config.optimiser.name!r}: {error}") from error
        known = [getattr(sys.modules[module], name) for module, name in _PROJECTORS if module in sys.modules]
        torch.serialization.add_safe_globals(known)  # else torch refuses to read them from a checkpoint
        return optimiser

    _resumed: str | None = None

    def train(self, resume_from_checkpoint: Any = None, trial: Any = None, ignore_keys_for_eval: list[str] | None = None) -> TrainOutput:
        self._resumed = resume_from_checkpoint
        return super().train(resume_from_checkpoint, trial, ignore_keys_for_eval)

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        batch: Batch = inputs["batch"].to(self.args.device)
        terms = self._total_loss(model(batch=batch), batch, self.state.global_step / max(self.args.max_steps, 1))
        self._check(terms, batch)
        self._sums["lm"] += float(terms.lm.detach().sum())
        self._sums["rank"] += float(terms.rank.detach().sum())
        self._sums["probe"] += float(terms.probe.detach().sum())
        self._sums["windows"] += len(batch.qids)
        self._sums["tokens"] += batch.tokens
        return terms.total

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the mean of each term over the windows since the last line, in all processes."""
        if "grad_norm" in logs:
            sums = self.accelerator.reduce(torch.tensor(list(self._sums.values()), device=self.args.device, dtype=torch.float64))
            lm, rank, probe, windows, tokens = sums.tolist()
            logs |= {"lm": lm / windows, "rank": rank / windows, "windows": windows, "tokens": tokens}
            logs |= {"probe": probe / windows} if self._config.loss.probe.weight else {}
            self._sums = dict.fromkeys(self._sums, 0.0)
        super().log(logs, start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """nDCG@10 on the dev set; every process scores all of it (it would wait otherwise)."""
        assert self._dev is not None
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise InputError(
                "dev: with FSDP or ZeRO no process has whole weights: leave dev out, and score checkpoints with firstrank eval"
            )
        network = causal_model(self.accelerator.unwrap_model(self.model))
        found = self._dev.score(network, self._first_model, self._config.threads)
        self.log({"ndcg@10": found})
        metrics = {"eval_ndcg@10": found}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _check(self, terms: Terms, batch: Batch) -> None:
        if bool(torch.isfinite(terms.total)):
            return
        for name, losses in (("lm", terms.lm), ("rank", terms.rank), ("probe", terms.probe)):
            if not bool(torch.isfinite(losses).all()):
                where = int((~torch.isfinite(losses)).nonzero()[0])
                raise Diverged(self._stopped(f"the {name} loss of query {batch.qids[where]!r} is {losses[where].item()}"))
        raise Diverged(self._stopped(f"the loss is {terms.total.item()}"))

    def _stopped(self, why: str) -> str:
        saved = last_checkpoint(self.args.output_dir)
        kept = f"the last good checkpoint is {saved}" if saved else "no checkpoint had been saved"
        return f"step {self.state.global_step + 1}: {why}: training stops, and {kept}; try a lower optimiser.lr"


class _FiniteGradients(TrainerCallback):
    def __init__(self, trainer: RankTrainer) -> None:
        self._trainer = trainer

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
                raise Diverged(self._trainer._stopped(f"the gradient of {name} is not finite"))


class AtStart(TrainerCallback):
    """Does something once weights, optimiser and schedule are found to fit, before the first step."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._act()


class TimeLimit(TrainerCallback):
    """Ends a stage with a checkpoint after so many minutes; the same command goes on from there."""

    def __init__(self, minutes: float) -> None:
        self._until = time.monotonic() + 60.0 * minutes

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if time.monotonic() >= self._until:
            control.should_save = control.should_training_stop = True


class Patience(TrainerCallback):
    """Stops after so many evaluations that were no better than the best."""

    def __init__(self, evaluations: int) -> None:
        self._evaluations, self.spent = evaluations, False

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        scores = [entry["ndcg@10"] for entry in state.log_history if "ndcg@10" in entry]
        best = max(range(len(scores)), key=lambda i: (scores[i], -i))
        if len(scores) - 1 - best >= self._evaluations:
            self.spent = control.should_save = control.should_training_stop = True


def last_checkpoint(folder: Any) -> str | None:
    """The newest checkpoint that was written to its end (its state is written last)."""
    whole = [path.parent for path in Path(folder).glob("checkpoint-*/trainer_state.json")]
    return str(max(whole, key=lambda path: _step(str(path)))) if whole else None


def _step(checkpoint: str) -> int:
    return int(checkpoint.rpartition("-")[2])


def _collated(samples: list[Sample], packing: bool, pad: int) -> dict[str, Batch]:
    return {"batch": collate(samples, packing=packing, pad=pad)}
