"""A recipe in transformers' words."""

from __future__ import annotations

import logging
import os
import warnings
from importlib.util import find_spec
from typing import Any

from firstrank.reranker.errors import InputError
from firstrank.training.config import Config
from firstrank.training.machine import arithmetic, on_cpu
from firstrank.training.output import CHECKPOINTS

_log = logging.getLogger(__name__)

FRUGAL = "frugal"
"""the one optimiser that is not transformers'"""


def arguments_of(config: Config, steps: int, *, begun: bool = False) -> Any:
    """transformers' TrainingArguments; a run that has `begun` does not score the untrained weights again.

    Raises InputError for an optimiser, a schedule or a logger that cannot be used here.
    """
    from transformers import TrainingArguments
    from transformers.utils import logging as theirs

    theirs.set_verbosity_error()
    if config.optimiser.name == FRUGAL:
        frugal_options(config.optimiser.args)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")  # of renamings between its versions
    tuning, optimiser, dev = config.tuning, config.optimiser, config.dev
    checkpointing: dict[str, Any] = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}
    try:
        arguments = TrainingArguments(
            output_dir=str(config.output / CHECKPOINTS),
            max_steps=steps,
            per_device_train_batch_size=config.batch.step,
            gradient_accumulation_steps=1,  # the trainer shares a step's windows out itself
            learning_rate=optimiser.lr,
            lr_scheduler_type=optimiser.schedule,
            warmup_steps=optimiser.warmup,
            weight_decay=optimiser.weight_decay,
            adam_beta1=optimiser.betas[0],
            adam_beta2=optimiser.betas[1],
            max_grad_norm=optimiser.clip,
            optim="adamw_torch" if optimiser.name == FRUGAL else optimiser.name,
            optim_args=optimiser.args or None,
            optim_target_modules=list(optimiser.target_modules) if optimiser.target_modules else None,
            seed=config.seed,
            use_cpu=on_cpu(),
            bf16=arithmetic(tuning) == "mixed",
            neftune_noise_alpha=tuning.neftune or None,
            **(checkpointing if tuning.gradient_checkpointing else {}),
            logging_steps=config.log.every,
            logging_nan_inf_filter=False,
            save_steps=config.checkpoints.every,
            save_total_limit=config.checkpoints.keep,
            eval_strategy="steps" if dev else "no",
            eval_steps=dev.every if dev else None,
            eval_on_start=dev is not None and not begun,
            load_best_model_at_end=dev is not None,
            metric_for_best_model="eval_ndcg@10" if dev else None,
            greater_is_better=True if dev else None,
            ignore_data_skip=True,
            remove_unused_columns=False,
            report_to=_loggers(config) or "none",
            disable_tqdm=True,
            ddp_find_unused_parameters=tuning.method == "lisa",
        )
    except (ValueError, ImportError) as error:
        raise InputError(f"the recipe's optimiser or tuning cannot be used here: {error}") from error
    _check_schedule(config, arguments)
    _one_device(arguments)
    return arguments


def frugal_options(args: str) -> dict[str, float]:
    """`density=0.25, gap=200` as numbers. Raises InputError for anything else."""
    known: dict[str, Any] = {"density": float, "gap": int}
    found: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in args.split(","))):
        name, _, value = part.partition("=")
        try:
            found[name] = known[name](value)
        except (KeyError, ValueError) as error:
            raise InputError(
                f"optimiser.args: {part!r}: frugal takes density (a share of the weights) and gap (steps): 'density=0.25, gap=200'"
            ) from error
    if not (0 < found.get("density", 0.25) <= 1 and found.get("gap", 1) >= 1):
        raise InputError(f"optimiser.args: {args!r}: density lies above 0, 1 at most, and gap is 1 or more")
    return found


def _loggers(config: Config) -> list[str]:
    reports = [name for name, on in (("tensorboard", config.log.tensorboard), ("wandb", config.log.wandb)) if on]
    if lacking := [name for name in reports if find_spec(name) is None]:
        raise InputError(f"log.{lacking[0]}: the package is not installed: pip install {lacking[0]}")
    if config.log.wandb:
        os.environ["WANDB_PROJECT"] = config.log.wandb  # where transformers looks for it
    return reports


def _check_schedule(config: Config, arguments: Any) -> None:
    """Some schedules need more than a recipe can say; transformers finds out when weights have been loaded."""
    import torch
    from transformers import get_scheduler

    idle = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    try:
        get_scheduler(arguments.lr_scheduler_type, idle, num_warmup_steps=config.optimiser.warmup, num_training_steps=arguments.max_steps)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"optimiser.schedule={config.optimiser.schedule}: cannot be used: {error}; linear, cosine, constant_with_warmup and "
            "inverse_sqrt need nothing more"
        ) from error


def _one_device(arguments: Any) -> None:
    """Of several GPUs one process uses one: transformers would split every batch among them, which batches of windows do not bear."""
    if arguments.n_gpu > 1:
        _log.info(f"{arguments.n_gpu} GPUs are visible, one is used: accelerate launch --num_processes {arguments.n_gpu} uses them all")
        arguments._n_gpu = 1
