"""The network that is trained: loaded, given the weights that move, and a forward pass that ends in what losses need.

The whole head is never applied: label logits come from the labels' rows at one position, the LM loss from the answer's positions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from firstrank.reranker.errors import InputError
from firstrank.reranker.models.layers import check_first_layers, plain_norm
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.models.network import load_network as read_weights
from firstrank.training.attention import WINDOWS, choose
from firstrank.training.compiled import compile_parts
from firstrank.training.config import Config
from firstrank.training.fused import fuse, fuses
from firstrank.training.lm import Head, token_losses
from firstrank.training.machine import arithmetic
from firstrank.training.quantised import quantise
from firstrank.training.samples.batch import Batch
from firstrank.training.sections import Tuning


class Probed(NamedTuple):
    """Where the probe reads, and what."""

    layer: int
    opening: int
    """the id of the token whose logit is a mark"""


class Seen(NamedTuple):
    """What a forward pass gives."""

    scores: Tensor | None
    """[windows, passages]: label logits, fp32; None where no loss asks for them"""
    token_losses: Tensor
    """[answer tokens], fp32; empty where the LM loss is off"""
    marks: Tensor | None = None
    """[windows, passages]: what a middle layer says of each passage, fp32; None where the probe is off"""
    ranking: Tensor | None = None
    """[windows, passages]: what a head of the ranking loss's own says, fp32; None where there is none"""
    hidden: Tensor | None = None
    """[positions, hidden]: the input of the head"""


def load_network(model: Model, config: Config) -> Any:
    """A causal language model with its trainable weights marked; called with `batch`, it gives Seen.

    Raises ModelError where the weights cannot be read, InputError where the recipe asks for parts that they do not have.
    """
    tuning = config.tuning
    resting = torch.float32 if arithmetic(tuning) == "float32" else torch.bfloat16
    lasting = tuning.precision == "bfloat16" or tuning.method == "lora"
    dtype = resting if lasting else torch.float32  # what moves stays in fp32, here or in the optimiser
    fusing = tuning.lora.bits is None and fuses(tuning)
    base = None if model.base is None else Path(model.base)
    network = read_weights(model.name, Path(model.path), dtype, base=base, **_part(config, model))
    network.config.use_cache = False
    if model.spec.answer == "marks":
        check_first_layers(model.name, network, config.loss.probe.layer)
    if tuning.lora.bits is not None:
        quantise(network, tuning.lora.bits, resting)
    choose(network, tuning, model.prompter.context)
    labels = model.prompter.label_ids(len(model.prompter.identifiers)) if model.spec.answer != "permutation" else None
    own = _own_head(network, labels) if config.loss.rank.head == "own" and labels else None
    _give_losses(network, model, labels, config, own)
    network = tuned(network, tuning, own is not None)
    if fusing:
        whole = causal_model(network)
        norms = (one for one in whole.modules() if isinstance(one, torch.nn.LayerNorm))  # a CPU's take no input in fp32 beside bf16 weights
        for part in (whole.get_input_embeddings(), whole.get_output_embeddings(), *norms):
            part.float()  # so that what layers add up stays in fp32, as under autocast
        fuse(network, resting)
    if tuning.compile:
        compile_parts(causal_model(network))
    return network


def _part(config: Config, model: Model) -> dict[str, Any]:
    """What is read of the network: what the exported model will be; with marks all that learns."""
    if model.spec.answer != "marks":
        return {"layers": model.spec.layers, "norm": model.spec.norm}
    return {} if config.loss.reads_end else {"layers": config.loss.probe.layer, "norm": "plain"}


def is_packed(network: Any) -> bool:
    """Whether its attention takes windows one after another in a row, so that packing costs nothing."""
    return bool(causal_model(network).config._attn_implementation == WINDOWS)


def tuned(network: Any, tuning: Tuning, own_head: bool = False) -> Any:
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
            modules_to_save=[OWN_HEAD] if own_head else None,
            exclude_modules=[OWN_HEAD] if own_head else None,
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


OWN_HEAD = "ranking_head"


def _own_head(network: Any, labels: tuple[int, ...]) -> Any:
    """A head of the ranking loss's own, which begins as the labels' rows of the model's; it is not exported."""
    rows = network.get_output_embeddings().weight[list(labels)].detach().clone()
    head = torch.nn.Linear(rows.shape[1], rows.shape[0], bias=False)
    head.weight = torch.nn.Parameter(rows.float())
    network.add_module(OWN_HEAD, head)
    return head


def drop_own_head(network: Any) -> None:
    """Training is over: nothing that serves knows of it."""
    model = causal_model(network)
    if hasattr(model, OWN_HEAD):
        delattr(model, OWN_HEAD)
        for settings in getattr(network, "peft_config", {}).values():
            settings.modules_to_save = settings.exclude_modules = None


def _give_losses(network: Any, model: Model, labels: tuple[int, ...] | None, config: Config, own: Any) -> None:
    """Teaches `network(batch=…)`; without `batch` it is the model that it was."""
    usual, loss = network.forward, config.loss
    asked = loss.rank.weight.ever or loss.z.weight or loss.start.weight or loss.lm.ties == "likeliest" or loss.probe.distill.ever
    ids = torch.tensor(labels) if labels is not None and asked else None
    probed = Probed(loss.probe.layer, model.prompter.opening) if loss.probe.is_on else None
    layers = network.config.get_text_config().num_hidden_layers
    if probed is not None and probed.layer > layers:
        raise InputError(f"loss.probe.layer: {probed.layer}, but the model has {layers} layers")
    if probed is not None and probed.layer == layers and model.spec.answer == "marks" and loss.reads_end:
        raise InputError(f"loss.probe.layer: {layers} is the model's last, and answer: marks keeps an earlier one")

    def forward(*args: Any, batch: Batch | None = None, **kwargs: Any) -> Any:
        if batch is None:
            return usual(*args, **kwargs)
        return _seen(network, batch, ids, probed, own is not None)

    network.forward = forward


def _seen(network: Any, batch: Batch, labels: Tensor | None, probed: Probed | None, own: bool) -> Seen:
    given: dict[str, Any] = {} if batch.position_ids is None else {"position_ids": batch.position_ids}
    if network.config._attn_implementation == WINDOWS:
        given["segments"] = batch.segments
    states = network.base_model(input_ids=batch.input_ids, use_cache=False, output_hidden_states=probed is not None, **given)
    hidden = states.last_hidden_state.flatten(0, 1)
    head, answers = Head.of(network), hidden[batch.answer_rows]
    if hidden.is_cuda and torch.is_autocast_enabled("cuda"):
        answers = answers.to(torch.get_autocast_dtype("cuda"))  # else the fused kernels, which take no fp32, would never be reached
    with torch.autocast(hidden.device.type, enabled=False):
        scores = ranking = None
        if labels is not None:
            scores = head.logits(hidden[batch.label_rows], labels[: batch.mask.shape[1]].to(hidden.device))
        if own:
            ranking = getattr(network, OWN_HEAD)(hidden[batch.label_rows].float())[:, : batch.mask.shape[1]]
        losses = token_losses(answers, head, batch.answer_ids) if len(batch.answer_ids) else hidden.new_zeros(0).float()
        marks = None if probed is None else _marks(states.hidden_states[probed.layer].flatten(0, 1)[batch.mark_rows], head, probed.opening)
    return Seen(scores, losses, marks, ranking, hidden)


def _marks(hidden: Tensor, head: Head, opening: int) -> Tensor:
    """[…, hidden] -> […]: how much each mark says that the answer begins, the logit there of the token that opens it, as if the layer
    were the last. `answer: marks` reads the same.

    The direction is that token's row of the head, so the probe has no weights of its own to keep or to drop; the row does not move for it.
    """
    still = head._replace(weight=head.weight.detach())
    return still.logits(plain_norm(hidden), torch.tensor([opening], device=hidden.device)).squeeze(-1)
