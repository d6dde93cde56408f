"""transformers' Trainer, told where samples come from, what the loss is, and how weights are scored.

Samples are numbered through the whole run, and a step takes the next ones: a run that is resumed at a step goes on with the sample
that comes next, whatever the number of workers. A step's windows are shared out over forward passes here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_utils import TrainOutput

from firstrank.reranker.errors import FirstrankError, InputError
from firstrank.reranker.models.loaded import Model
from firstrank.training.arguments import FRUGAL, frugal_options
from firstrank.training.config import Config
from firstrank.training.dev import DevSet
from firstrank.training.frugal import Frugal
from firstrank.training.insight import Insight
from firstrank.training.masters import MasterAdamW
from firstrank.training.network import causal_model, is_packed
from firstrank.training.output import last_checkpoint, step_of, writing
from firstrank.training.rehearsal import Rehearsal
from firstrank.training.samples.batch import Batch, collate, shared_out
from firstrank.training.samples.sample import Sample, Samples
from firstrank.training.total_loss import Terms, TotalLoss, unit_for

_PROJECTORS = (
    ("galore_torch.galore_projector", "GaLoreProjector"),
    ("apollo_torch.random_projector", "GradientProjector"),
    ("apollo_torch.svd_projector", "GaLoreProjector"),
)
"""what optimisers of low rank keep in their state beside tensors"""


class Shares(Sampler[list[int]]):
    """The samples of each step of one process, from the step where the run stands to its end."""

    def __init__(self, steps: int, windows: int, processes: int, process: int) -> None:
        self._steps, self._windows, self._processes, self._process = steps, windows, processes, process
        self.start = 0

    def __len__(self) -> int:
        """Of the whole run, wherever it starts."""
        return self._steps

    def __iter__(self) -> Iterator[list[int]]:
        for i in range(self.start, self._steps):
            first = (i * self._processes + self._process) * self._windows
            yield list(range(first, first + self._windows))


class Diverged(FirstrankError):
    """A loss or a gradient is not a finite number; the weights have not moved since."""


class RankTrainer(Trainer):
    """Trains a network from `firstrank.training.network` on Samples."""

    def __init__(self, network: Any, config: Config, model: Model, samples: Samples, dev: DevSet | None, args: TrainingArguments) -> None:
        super().__init__(model=network, args=args, train_dataset=samples, eval_dataset=dev)
        self._config, self._first_model, self._samples, self._dev = config, model, samples, dev
        self.unit = unit_for(config, samples)
        self._total_loss = TotalLoss(config, self.unit)
        self._rehearsal = Rehearsal(config, model, self._total_loss, self.accelerator)
        self._insight = Insight(config)
        self._step: list[tuple[Terms, tuple[str, ...]]] = []
        self._sums = self._zeros()
        self._seen_windows = self._seen_tokens = 0
        self.remove_callback(PrinterCallback)
        self._patience = Patience(config.dev.patience) if config.dev and config.dev.patience else None
        if self._patience is not None:
            self.add_callback(self._patience)

    def _zeros(self) -> torch.Tensor:
        return torch.zeros(len(self._total_loss.names), device=self.args.device, dtype=torch.float64)

    @property
    def finished(self) -> bool:
        """All steps taken, or no better nDCG@10 to be expected."""
        return self.state.global_step >= self.args.max_steps or bool(self._patience and self._patience.is_spent(self.state))

    def get_train_dataloader(self) -> DataLoader[Any]:
        batch, gpu = self._config.batch, self.args.device.type == "cuda"
        shares = Shares(self.args.max_steps, batch.step, self.accelerator.num_processes, self.accelerator.process_index)
        shares.start = step_of(self._resumed) if self._resumed else 0
        if self._resumed and self._patience and self._patience.is_spent(_state(self._resumed)):
            shares.start = self.args.max_steps  # it had stopped, and was killed before its end
        packing = is_packed(self.model) if batch.packing is None else batch.packing or batch.tokens is not None
        return DataLoader(
            self._samples,
            batch_sampler=shares,
            collate_fn=partial(_collated, config=self._config, packing=packing, pad=self._first_model.tokenizer.pad_token_id or 0),
            num_workers=(2 if gpu else 0) if batch.workers is None else batch.workers,
            pin_memory=gpu,
            generator=torch.Generator(),  # of its own: drawing from torch's would move dropout
        )

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Raises InputError for an optimiser whose package is not installed, or that does not suit the network."""
        tuning, optimiser = self._config.tuning, self._config.optimiser
        if tuning.precision == "bfloat16" and tuning.method != "lora":
            self.optimizer = self._with_masters()
        elif optimiser.name == FRUGAL:
            given: dict[str, Any] = {"lr": self.args.learning_rate, "betas": optimiser.betas, "seed": self._config.seed}
            self.optimizer = Frugal(self._groups(), **given | frugal_options(optimiser.args))
        try:
            made = super().create_optimizer(*args, **kwargs)
        except (ImportError, ValueError, TypeError, NotImplementedError) as error:
            raise InputError(f"optimiser {self._config.optimiser.name!r}: {error}") from error
        known = [getattr(sys.modules[module], name) for module, name in _PROJECTORS if module in sys.modules]
        torch.serialization.add_safe_globals(known)  # else torch refuses to read them from a checkpoint
        return made

    def _with_masters(self) -> MasterAdamW:
        """bf16 weights cannot hold a small step: their fp32 masters take it."""
        if self._config.optimiser.name not in ("adamw_torch", "adamw_torch_fused"):
            raise InputError(
                f"tuning.precision=bfloat16 with optimiser {self._config.optimiser.name!r}: only adamw_torch keeps fp32 masters of bf16 "
                "weights, without which small steps are lost; say tuning.precision=mixed, or optimiser.name=adamw_torch"
            )
        return MasterAdamW(self._groups(), lr=self.args.learning_rate, betas=self._config.optimiser.betas)

    def _groups(self) -> list[dict[str, Any]]:
        """What moves, with the decay that transformers would give it."""
        network: Any = self.model
        decayed = set(self.get_decay_parameter_names(network))
        moving = [(name, one) for name, one in network.named_parameters() if one.requires_grad]
        groups = [
            {
                "params": [one for name, one in moving if (name in decayed) is decay],
                "weight_decay": self.args.weight_decay if decay else 0.0,
            }
            for decay in (True, False)
        ]
        return [group for group in groups if group["params"]]

    _resumed: str | None = None

    def train(self, resume_from_checkpoint: Any = None, trial: Any = None, ignore_keys_for_eval: list[str] | None = None) -> TrainOutput:
        self._resumed = resume_from_checkpoint
        return super().train(resume_from_checkpoint, trial, ignore_keys_for_eval)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """One step's windows, in as many forward passes as they were shared out to; each window counts the same."""
        progress = self.state.global_step / max(self.args.max_steps, 1)
        batches = [batch.to(self.args.device) for batch in inputs["batches"]]
        batches = self._rehearsal.prepared(model, batches, inputs["samples"], progress)
        model.train()
        windows, total = sum(len(batch.qids) for batch in batches), torch.zeros((), device=self.args.device)
        for number, batch in enumerate(batches, 1):
            last = number == len(batches)
            self.accelerator.gradient_state._set_sync_gradients(last)
            with nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    loss = self.compute_loss(model, {"batch": batch}) * (len(batch.qids) / windows)
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        batch: Batch = inputs["batch"]
        seen = model(batch=batch)
        terms = self._total_loss(seen, batch, self.state.global_step / max(self.args.max_steps, 1))
        if self._insight.wanted(self.state.global_step):
            self._insight.look(causal_model(self.accelerator.unwrap_model(model)), seen, terms, batch)
        self._step.append((Terms(*(term.detach() for term in terms)), batch.qids))
        self._sums += torch.stack([getattr(terms, name).detach().sum().double() for name in self._total_loss.names])
        self._seen_windows += len(batch.qids)
        self._seen_tokens += batch.tokens
        return terms.total

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """The one place of a step where the processor waits for the device."""
        norm = super()._get_grad_norm(model, grad_norm)  # type: ignore[no-untyped-call]  # transformers says no type
        flat = torch.as_tensor(norm, device=self.args.device, dtype=torch.float32)
        flat = flat.full_tensor() if hasattr(flat, "full_tensor") else flat
        *totals, length = torch.stack([*(terms.total.float() for terms, _ in self._step), flat]).tolist()
        self._check(totals, length, model)
        self._step.clear()
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the mean of each term over the windows since the last line, in all processes."""
        if "grad_norm" in logs:
            counts = torch.tensor([self._seen_windows, self._seen_tokens], device=self.args.device, dtype=torch.float64)
            *sums, windows, tokens = self.accelerator.reduce(torch.cat([self._sums, counts])).tolist()
            logs |= {name: value / windows for name, value in zip(self._total_loss.names, sums, strict=True)}
            logs |= {"windows": windows, "tokens": tokens} | self._insight.told()
            self._sums, self._seen_windows, self._seen_tokens = self._zeros(), 0, 0
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
        first = {"first stage": self._dev.first_stage()} if self.state.global_step == 0 else {}
        self.log({"ndcg@10": found} | first)
        metrics = {"eval_ndcg@10": found}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with writing(Path(str(self.args.output_dir)), "the run can be gone on with from the checkpoint before, once there is room"):
            super()._save_checkpoint(model, trial)

    def _check(self, totals: Sequence[float], length: float, model: Any) -> None:
        if all(map(_finite, (*totals, length))):
            return
        for total, (terms, qids) in zip(totals, self._step, strict=True):
            for name in () if _finite(total) else self._total_loss.names:
                losses = getattr(terms, name)
                if not bool(torch.isfinite(losses).all()):
                    where = int((~torch.isfinite(losses)).nonzero()[0])
                    raise Diverged(self._stopped(f"the {name} loss of query {qids[where]!r} is {losses[where].item()}"))
            if not _finite(total):
                raise Diverged(self._stopped(f"the loss is {total}"))
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
                raise Diverged(self._stopped(f"the gradient of {name} is not finite"))
        raise Diverged(self._stopped("the gradients are finite, but so long that their norm is not"))

    def _stopped(self, why: str) -> str:
        saved = last_checkpoint(Path(str(self.args.output_dir)))
        kept = f"the last good checkpoint is {saved}" if saved else "no checkpoint had been saved"
        return f"step {self.state.global_step + 1}: {why}: training stops, and {kept}; try a lower optimiser.lr"


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
        self._evaluations = evaluations

    def is_spent(self, state: Any) -> bool:
        scores = [entry["ndcg@10"] for entry in state.log_history if "ndcg@10" in entry]
        best = max(range(len(scores)), key=lambda i: (scores[i], -i), default=0)
        return len(scores) - 1 - best >= self._evaluations

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.is_spent(state):
            control.should_save = control.should_training_stop = True


def _state(checkpoint: str) -> TrainerState:
    found: TrainerState = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
    return found


def _finite(number: float) -> bool:
    return abs(number) < float("inf")


def _collated(samples: list[Sample], config: Config, packing: bool, pad: int) -> dict[str, Any]:
    parts = list(shared_out(samples, config.batch))
    return {"batches": [collate(part, packing=packing, pad=pad) for part in parts], "samples": parts}
