"""A run from its recipe to its exported model, in one folder that the same command resumes.

OUTPUT/config.yaml  inputs.json  log.jsonl  checkpoints/  model/ (merged weights)  adapter/  loss.png  ndcg.png  finished.json
"""

from __future__ import annotations

import logging
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from firstrank.reranker.config import explained
from firstrank.reranker.errors import InputError
from firstrank.reranker.models.loaded import Model, load_model
from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.training.arguments import arguments_of
from firstrank.training.config import Config
from firstrank.training.machine import arithmetic, on_cpu, prepare
from firstrank.training.output import CHECKPOINTS, check_output, claim, discard_partial, last_checkpoint, staged
from firstrank.training.quantised import check_quantised
from firstrank.training.samples.examples import Examples

if TYPE_CHECKING:
    from firstrank.training.stops import Stop
    from firstrank.training.trainer import RankTrainer

_log = logging.getLogger(__name__)


def train(config: Config, *, minutes: float | None = None, stop: Stop | None = None, allow_changed_data: bool = False) -> Path | None:
    """Trains to the end and exports; gives the model's folder, or None where `minutes` ran out or a signal came first.

    Raises InputError for a recipe, an example or a model that cannot be used, Diverged for a loss that is not a number, MachineError
    where there is no room to write.
    """
    check_quantised(config.tuning)
    prepare(config.threads)
    model, examples = open_model(config), Examples(config.train)
    check_output(config, examples.hashes, allow_changed_data=allow_changed_data)
    trainer = _trainer(config, model, examples, minutes, stop)
    network: Any = trainer.model
    moving = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    trainer.train(resume_from_checkpoint=last_checkpoint(config.output / CHECKPOINTS))
    if not trainer.finished or (stop is not None and stop.signal):
        _log.warning(
            f"stopped at step {trainer.state.global_step} of {trainer.args.max_steps}: the checkpoint is "
            f"{last_checkpoint(config.output / CHECKPOINTS)}, and the same command goes on from there"
        )
        part()
        return None
    facts = {"read": f"{len(examples):,} examples", "weights that moved": f"{moving:,}", "processes": trainer.args.world_size}
    ranked = config.loss.rank.weight.ever or config.loss.probe.weight
    facts |= {"unit of the ranking loss": f"{trainer.unit:.4g}"} if ranked else {}
    facts |= {"device": trainer.args.device, "arithmetic": "float32" if arithmetic(config.tuning) == "float32" else "bfloat16"}
    folder = _leave(config, model, trainer, facts)
    part()
    return folder


def part() -> None:
    """Processes end together: gloo aborts one whose peers have gone before it."""
    import torch.distributed as processes

    if processes.is_available() and processes.is_initialized():
        processes.barrier()
        processes.destroy_process_group()


def _trainer(config: Config, model: Model, examples: Examples, minutes: float | None, stop: Stop | None = None) -> RankTrainer:
    """What is wrong with the recipe, an example, or the dev set is said before the weights are loaded."""
    from transformers import set_seed

    from firstrank.training.dev import DevSet
    from firstrank.training.lisa import LayerSampling
    from firstrank.training.log import RunLog
    from firstrank.training.network import load_network
    from firstrank.training.trainer import AtStart, RankTrainer, TimeLimit

    begun = last_checkpoint(config.output / CHECKPOINTS) is not None
    arguments = arguments_of(config, total_steps(config, examples), begun=begun)
    samples = fitted(config, model, examples, arguments.max_steps * batch_size(config, arguments.world_size))
    dev = DevSet(config.dev) if config.dev else None
    set_seed(config.seed)  # an adapter's first weights are drawn
    network = load_network(model, config)
    trainer = RankTrainer(network, config, model, samples, dev, arguments)
    trainer.add_callback(AtStart(partial(_begin, config, examples, trainer)))
    if config.tuning.method == "lisa":
        trainer.add_callback(LayerSampling(network, config.tuning.lisa, config.seed))
    if minutes is not None:
        trainer.add_callback(TimeLimit(minutes))
    if stop is not None:
        trainer.add_callback(stop)
    trainer.add_callback(RunLog(config.output, arguments.max_steps))
    return trainer


def _begin(config: Config, examples: Examples, trainer: RankTrainer) -> None:
    if trainer.is_world_process_zero():
        claim(config, examples.hashes)
        discard_partial(config.output / CHECKPOINTS)


def _leave(config: Config, model: Model, trainer: RankTrainer, facts: dict[str, Any]) -> Path:
    """The folder to rerank with, a card in it and in the adapter's, and the run's pictures."""
    from firstrank.training.card import draw_plots, warn_below, write_card
    from firstrank.training.export import export

    if not trainer.is_world_process_zero():
        return config.output / export(config, model, trainer, config.output).name
    with staged(config.output) as stage:
        folder = export(config, model, trainer, stage)
        for left in sorted(stage.iterdir()):
            write_card(config, model, facts, left)
        draw_plots(config.output)
    warn_below(config)
    return config.output / folder.name


def fitted(config: Config, model: Model, examples: Examples, total: int) -> Any:
    """The run's samples. Raises InputError that names the line of the first example that does not fit the recipe."""
    from firstrank.training.samples.fit import check_fit
    from firstrank.training.samples.sample import Samples

    check_fit(config, model, examples)
    samples = Samples(config, model, examples, total)
    samples[0]
    return samples


def open_model(config: Config) -> Model:
    """The model with what the recipe says of prompts and ranking in place of its own. Raises InputError where that does not fit it."""
    return load_model(config.model, revision=config.revision, changed=partial(exported_spec, config))


def exported_spec(config: Config, own: ModelSpec) -> ModelSpec:
    """What the exported model will say of itself: `own`, the base model's, but for what the recipe says. Raises InputError likewise."""
    serve, loss = config.serve, config.loss
    schedule = Schedule(serve.strategy, serve.window, serve.stride).completed(own.schedule)
    given = {name: getattr(config, name) for name in ("answer", "template", "context", "chat")}
    given |= {name: getattr(serve, name) for name in ("passage_tokens", "excerpt")}
    given |= {name: getattr(schedule, name) for name in ("strategy", "window", "stride", "passes")}
    said = {name: value for name, value in given.items() if value is not None} | _part(config, own)
    try:
        spec = ModelSpec.model_validate(own.model_dump() | said)
    except ValidationError as error:
        raise InputError(f"the recipe and the settings of {config.model!r} do not fit together: {explained(error)}") from error
    spec.schedule.build()
    if spec.answer == "permutation" or spec.read_template().labels == "numbers":
        if loss.rank.weight.ever:
            raise InputError("loss.rank: its labels must be single tokens (answer: logits or marks, letters); say loss.rank.weight=0")
        if loss.lm.ties == "likeliest" or loss.z.weight or loss.start.weight or loss.probe.distill.ever:
            raise InputError(
                "loss.lm.ties=likeliest, loss.probe.distill, loss.z, loss.start: their labels must be single tokens "
                "(answer: logits or marks, letters)"
            )
    return spec


def _part(config: Config, own: ModelSpec) -> dict[str, Any]:
    """Which part of the network the exported model is: with marks, the layers that the probe reads."""
    probe, answer = config.loss.probe, config.answer or own.answer
    if answer == "marks":
        if not probe.is_on:
            raise InputError(
                "answer: marks: what the probe reads is exported, and it is off; say loss.probe.weight=1 and loss.probe.layer=N"
            )
        return {"layers": probe.layer, "norm": "plain"}
    if not (config.loss.rank.weight.ever or config.loss.lm.weight.ever):
        raise InputError("loss: rank.weight and lm.weight are both 0, and the probe is dropped: say answer=marks to keep it")
    return {"layers": None, "norm": "own"} if own.answer == "marks" else {}


def total_steps(config: Config, examples: Examples) -> int:
    """Steps of the whole run; the last one is filled from the next epoch where examples run out."""
    from accelerate import PartialState

    from firstrank.training.samples.draw import Shuffle

    size = batch_size(config, PartialState(cpu=on_cpu()).num_processes)
    epoch = len(Shuffle(examples.sizes, config.seed, config.weights))
    return config.steps or max(1, math.ceil(config.epochs * epoch / size))


def batch_size(config: Config, processes: int) -> int:
    """Windows of one step, in all processes."""
    return config.batch.step * processes
