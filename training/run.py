"""A run from its recipe to its exported model, in one folder that the same command resumes.

OUTPUT/config.yaml  log.jsonl  checkpoints/  model/ (merged weights)  adapter/  loss.png  ndcg.png
"""

from __future__ import annotations

import logging
import math
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from firstrank.reranker.config import explained
from firstrank.reranker.errors import InputError
from firstrank.reranker.models.loaded import Model, load_model
from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.training.config import Config
from firstrank.training.samples.examples import Examples

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from firstrank.training.trainer import RankTrainer

CONFIG = "config.yaml"
_FREE = ("checkpoints", "log", "export", "threads")
"""what may change when a run is resumed: none of it moves a weight"""


def train(config: Config, *, minutes: float | None = None) -> Path | None:
    """Trains to the end and exports; gives the model's folder, or None where `minutes` ran out first.

    Raises InputError for a recipe, an example or a model that cannot be used, Diverged for a loss that is not a number.
    """
    import torch

    from firstrank.reranker.scorers.transformers.scorer import keep_freed_memory
    from firstrank.training.trainer import last_checkpoint

    if config.threads is not None:
        torch.set_num_threads(config.threads)
    keep_freed_memory()
    model, examples = open_model(config), Examples(config.train)
    check_output(config)
    trainer = _trainer(config, model, examples, minutes)
    network: Any = trainer.model
    moving = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    trainer.train(resume_from_checkpoint=last_checkpoint(trainer.args.output_dir))
    if not trainer.finished:
        _log.info(f"stopped at step {trainer.state.global_step} of {trainer.args.max_steps}: the same command goes on from there")
        part()
        return None
    facts = {"read": f"{len(examples):,} examples", "weights that moved": f"{moving:,}", "processes": trainer.args.world_size}
    bf16 = config.tuning.precision == "bfloat16" or trainer.args.bf16
    facts |= {"device": trainer.args.device, "arithmetic": "bfloat16" if bf16 else "float32"}
    folder = _leave(config, model, trainer, facts)
    part()
    return folder


def part() -> None:
    """Processes end together: gloo aborts one whose peers have gone before it."""
    import torch.distributed as processes

    if processes.is_available() and processes.is_initialized():
        processes.barrier()
        processes.destroy_process_group()


def _trainer(config: Config, model: Model, examples: Examples, minutes: float | None) -> RankTrainer:
    """What is wrong with every example, or with the dev set, is said before the weights are loaded."""
    from transformers import set_seed

    from firstrank.training.dev import DevSet
    from firstrank.training.lisa import LayerSampling
    from firstrank.training.log import RunLog
    from firstrank.training.network import load_network
    from firstrank.training.samples.sample import Samples
    from firstrank.training.trainer import AtStart, RankTrainer, TimeLimit

    arguments = _arguments(config, total_steps(config, len(examples)))
    samples = Samples(config, model, examples, arguments.max_steps * batch_size(config, arguments.world_size))
    samples[0]
    dev = DevSet(config.dev) if config.dev else None
    set_seed(config.seed)  # an adapter's first weights are drawn
    network = load_network(model, config)
    trainer = RankTrainer(network, config, model, samples, dev, arguments)
    trainer.add_callback(AtStart(partial(claim, config)))
    if config.tuning.method == "lisa":
        trainer.add_callback(LayerSampling(network, config.tuning.lisa, config.seed))
    if minutes is not None:
        trainer.add_callback(TimeLimit(minutes))
    trainer.add_callback(RunLog(config.output, arguments.max_steps))
    return trainer


def _leave(config: Config, model: Model, trainer: RankTrainer, facts: dict[str, Any]) -> Path:
    """The folder to rerank with, a card in it and in the adapter's, and the run's pictures."""
    from firstrank.training.card import draw_plots, write_card
    from firstrank.training.export import export

    folder = export(config, model, trainer)
    if trainer.is_world_process_zero():
        for left in (config.output / "adapter", config.output / "model"):
            if left.is_dir():
                write_card(config, model, facts, left)
        draw_plots(config.output)
    return folder


def open_model(config: Config) -> Model:
    """The model with what the recipe says of prompts and ranking in place of its own. Raises InputError where that does not fit it."""
    return load_model(config.model, revision=config.revision, changed=partial(exported_spec, config))


def exported_spec(config: Config, own: ModelSpec) -> ModelSpec:
    """What the exported model will say of itself: `own`, the base model's, but for what the recipe says. Raises InputError likewise."""
    serve = config.serve
    schedule = Schedule(serve.strategy, serve.window, serve.stride).completed(own.schedule)
    given = {name: getattr(config, name) for name in ("answer", "template", "context", "chat")}
    given |= {name: getattr(serve, name) for name in ("passage_tokens", "excerpt")}
    given |= {name: getattr(schedule, name) for name in ("strategy", "window", "stride", "passes")}
    try:
        spec = ModelSpec.model_validate(own.model_dump() | {name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise InputError(f"the recipe and the settings of {config.model!r} do not fit together: {explained(error)}") from error
    spec.schedule.build()
    if config.loss.rank.weight and (spec.answer != "logits" or spec.read_template().labels == "numbers"):
        raise InputError("loss.rank: its labels must be single tokens (answer: logits, letters); say loss.rank.weight=0")
    return spec


def total_steps(config: Config, examples: int) -> int:
    """Steps of the whole run; the last one is filled from the next epoch where examples run out."""
    from accelerate import PartialState

    size = batch_size(config, PartialState(cpu=_on_cpu()).num_processes)
    return config.steps or max(1, math.ceil(config.epochs * examples / size))


def batch_size(config: Config, processes: int) -> int:
    """Windows of one step, in all processes."""
    return config.batch.windows * config.batch.accumulation * processes


def _has_bf16() -> bool:
    """Whether bf16 products pay. A CPU without units for them emulates them, some 3.5 (AVX-512) or 15 times (AVX2) slower than fp32."""
    if not _on_cpu() or _cpu_has_bf16():
        return True
    _log.info("tuning.precision: mixed: this CPU has no bf16 units, so fp32 arithmetic is used")
    return False


def _cpu_has_bf16() -> bool:
    import torch

    if platform.machine() in {"x86_64", "AMD64"}:  # where oneDNN calls bf16 supported from AVX-512 on, emulated as it may be
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _on_cpu() -> bool:
    """Said outright, because accelerate joins processes on a CPU (gloo) only when it is told of the CPU."""
    import torch

    return not torch.accelerator.is_available()


def check_output(config: Config) -> None:
    """Makes the run's folder. Raises InputError where it cannot be, holds another recipe's run, or a finished one."""
    folder, kept = config.output, config.output / CONFIG
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if not kept.is_file():
        return
    found, before = config.model_dump(mode="json"), yaml.safe_load(kept.read_text(encoding="utf-8"))
    if changed := sorted(key for key in found.keys() | before.keys() if key not in _FREE and found.get(key) != before.get(key)):
        raise InputError(f"{folder}: holds a run of another recipe ({', '.join(changed)} differ): give another output=, or delete it")
    if (folder / "model").is_dir() or (folder / "adapter").is_dir():
        raise InputError(f"{folder}: this run is finished; give another output=, or delete it")


def claim(config: Config) -> None:
    """Writes the recipe into its folder: once everything in it is found to fit, so that a corrected one finds it free."""
    with _writing(config.output):
        (config.output / CONFIG).write_text(
            yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True), encoding="utf-8"
        )


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from error


def _arguments(config: Config, steps: int) -> Any:
    from transformers import TrainingArguments
    from transformers.utils import logging

    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")  # of renamings between its versions
    tuning, optimiser, dev = config.tuning, config.optimiser, config.dev
    checkpointing: dict[str, Any] = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}
    reports = [name for name, on in (("tensorboard", config.log.tensorboard), ("wandb", config.log.wandb)) if on]
    if lacking := [name for name in reports if find_spec(name) is None]:
        raise InputError(f"log.{lacking[0]}: the package is not installed: pip install {lacking[0]}")
    if config.log.wandb:
        os.environ["WANDB_PROJECT"] = config.log.wandb  # where transformers looks for it
    try:
        return TrainingArguments(
            output_dir=str(config.output / "checkpoints"),
            max_steps=steps,
            per_device_train_batch_size=config.batch.windows,
            gradient_accumulation_steps=config.batch.accumulation,
            learning_rate=optimiser.lr,
            lr_scheduler_type=optimiser.schedule,
            warmup_steps=optimiser.warmup,
            weight_decay=optimiser.weight_decay,
            adam_beta1=optimiser.betas[0],
            adam_beta2=optimiser.betas[1],
            max_grad_norm=optimiser.clip,
            optim=optimiser.name,
            optim_args=optimiser.args or None,
            optim_target_modules=list(optimiser.target_modules) if optimiser.target_modules else None,
            seed=config.seed,
            use_cpu=_on_cpu(),
            bf16=tuning.precision == "mixed" and _has_bf16(),
            neftune_noise_alpha=tuning.neftune or None,
            **(checkpointing if tuning.gradient_checkpointing else {}),
            logging_steps=config.log.every,
            logging_nan_inf_filter=False,
            save_steps=config.checkpoints.every,
            save_total_limit=config.checkpoints.keep,
            eval_strategy="steps" if dev else "no",
            eval_steps=dev.every if dev else None,
            load_best_model_at_end=dev is not None,
            metric_for_best_model="eval_ndcg@10" if dev else None,
            greater_is_better=True if dev else None,
            ignore_data_skip=True,
            remove_unused_columns=False,
            report_to=reports or "none",
            disable_tqdm=True,
            ddp_find_unused_parameters=tuning.method == "lisa",
        )
    except (ValueError, ImportError) as error:
        raise InputError(f"the recipe's optimiser or tuning cannot be used here: {error}") from error
