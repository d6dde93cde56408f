"""The network that is trained: loaded, given the weights that move, and a forward pass that ends in what losses need.

The whole head is never applied: label logits come from the labels' rows at one position, the LM loss from the answer's positions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import rms_norm

from firstrank.reranker.errors import InputError
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.models.network import load_network as read_weights
from firstrank.training.config import Config, ProbeLoss, Tuning
from firstrank.training.lisa import layers_of
from firstrank.training.lm import Head, token_losses
from firstrank.training.samples.batch import Batch


class Seen(NamedTuple):
    """What a forward pass gives."""

    scores: Tensor | None
    """[windows, passages]: label logits, fp32; None where no loss asks for them"""
    token_losses: Tensor
    """[answer tokens], fp32; empty where the LM loss is off"""
    marks: Tensor | None = None
    """[windows, passages]: what a middle layer says of each passage, fp32; None where the probe is off"""


def load_network(model: Model, config: Config) -> Any:
    """A causal language model with its trainable weights marked; called with `batch`, it gives Seen.

    Raises ModelError where the weights cannot be read, InputError where the recipe asks for parts that they do not have.
    """
    dtype = torch.bfloat16 if config.tuning.precision == "bfloat16" else torch.float32
    base = None if model.base is None else Path(model.base)
    network = read_weights(model.name, Path(model.path), dtype, base=base)
    network.config.use_cache = False
    labels = model.prompter.label_ids(len(model.prompter.identifiers)) if config.loss.rank.weight else None
    _give_losses(network, labels, config.loss.probe)
    network = tuned(network, config.tuning)
    if config.tuning.compile:
        _compile_layers(network)
    return network


def _compile_layers(network: Any) -> None:
    """Layer by layer: what is compiled for one serves all that are like it, and the names of weights do not change."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except RuntimeError as error:
        raise InputError("tuning.compile: there is no C++ compiler: install g++, or leave it out") from error
    for layer in layers_of(network):
        layer.compile(dynamic=True)


def tuned(network: Any, tuning: Tuning) -> Any:
    """The network with the weights that move: all of them, or an adapter's (a PeftModel then)."""
    if tuning.method != "lora":
        return network
    from peft import LoraConfig, get_peft_model

    lora = tuning.lora
    modules: str | list[str] = lora.modules if isinstance(lora.modules, str) else list(lora.modules)
    layers = None
    if lora.layers is not None:
        layers = list(range(lora.layers[0], lora.layers[1] + 1))
        modules = _linear(network) if modules == "all-linear" else modules
    try:
        settings = LoraConfig(
            task_type="CAUSAL_LM",
            r=lora.rank,
            lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft says int, and divides by the rank
            lora_dropout=lora.dropout,
            use_dora=lora.dora,
            target_modules=modules,
            layers_to_transform=layers,
        )
        adapted = get_peft_model(network, settings)
    except ValueError as error:
        raise InputError(f"tuning.lora: {error}") from error
    if lora.start is not None:
        _go_on(adapted, lora.start)
    return adapted


def _go_on(adapted: Any, start: Path) -> None:
    """Gives the new adapter the weights of one that was exported before."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = start / "adapter_model.safetensors"
    try:
        weights = load_file(file)
    except (OSError, SafetensorError) as error:
        raise InputError(f"tuning.lora.start: {file}: cannot be read: {error}; give the adapter/ folder of a finished run") from error
    wanted = {name: tuple(value.shape) for name, value in get_peft_model_state_dict(adapted).items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if odd := sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)):
        said = f"{odd[0]} is {found.get(odd[0], 'missing')} there and {wanted.get(odd[0], 'not moved')} here"
        raise InputError(f"tuning.lora.start: {start}: another rank, or other modules or layers than the recipe's: {said}")
    set_peft_model_state_dict(adapted, weights)


def _linear(network: Any) -> list[str]:
    """What the linear layers below the head are called within their blocks."""
    found = {name.rpartition(".")[2] for name, module in network.base_model.named_modules() if isinstance(module, torch.nn.Linear)}
    return sorted(found)


def causal_model(network: Any) -> Any:
    """The causal language model inside an adapter, or the network itself."""
    return network.get_base_model() if hasattr(network, "get_base_model") else network


def _give_losses(network: Any, labels: tuple[int, ...] | None, probe: ProbeLoss) -> None:
    """Teaches `network(batch=…)`; without `batch` it is the model that it was."""
    usual = network.forward
    ids = None if labels is None else torch.tensor(labels)
    layer = probe.layer if probe.weight else None
    if layer is not None and layer > (layers := network.config.get_text_config().num_hidden_layers):
        raise InputError(f"loss.probe.layer: {layer}, but the model has {layers} layers")

    def forward(*args: Any, batch: Batch | None = None, **kwargs: Any) -> Any:
        if batch is None:
            return usual(*args, **kwargs)
        return _seen(network, batch, ids, layer)

    network.forward = forward


def _seen(network: Any, batch: Batch, labels: Tensor | None, layer: int | None) -> Seen:
    given = {} if batch.position_ids is None else {"position_ids": batch.position_ids}
    states = network.base_model(input_ids=batch.input_ids, use_cache=False, output_hidden_states=layer is not None, **given)
    hidden = states.last_hidden_state.flatten(0, 1)
    head = Head.of(network)
    with torch.autocast(hidden.device.type, enabled=False):
        scores = None
        if labels is not None:
            scores = head.logits(hidden[batch.label_rows], labels[: batch.mask.shape[1]].to(hidden.device))
        losses = token_losses(hidden[batch.answer_rows], head, batch.answer_ids) if len(batch.answer_ids) else hidden.new_zeros(0).float()
        marks = None if layer is None else _marks(states.hidden_states[layer].flatten(0, 1), batch, head)
    return Seen(scores, losses, marks)


def _marks(hidden: Tensor, batch: Batch, head: Head) -> Tensor:
    """How much each mark says that the answer begins: the logit there of the token that opens it, as if the layer were the last.

    The direction is the prompt's last token's row of the head, so the probe has no weights of its own to keep or to drop.
    """
    opening = head.weight[batch.input_ids.flatten()[batch.label_rows]].detach().float()
    marks = rms_norm(hidden[batch.mark_rows].float(), (hidden.shape[-1],))
    return torch.einsum("wph,wh->wp", marks, opening)
