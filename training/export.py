"""What a run leaves: merged weights (`model/`), an adapter (`adapter/`), each with `firstrank.yaml`, tokenizer and configuration.

`firstrank rerank --model OUTPUT/model` and vLLM load the merged folder as it is. The adapter names its base weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from firstrank.reranker.errors import ModelError
from firstrank.reranker.models.loaded import Model
from firstrank.reranker.models.spec import SETTINGS_FILE
from firstrank.training.config import Config
from firstrank.training.network import OWN_HEAD, causal_model, drop_own_head, load_network


def export(config: Config, model: Model, trainer: Any, into: Path) -> Path:
    """Writes the trainer's present weights into a folder; gives the one in it to rerank with.

    Weights that FSDP or ZeRO shard are gathered by the first process, in its memory, and an adapter merged there into base
    weights that are read anew. All processes must call this.
    """
    network = trainer.accelerator.unwrap_model(trainer.model)
    adapted, sharded = hasattr(network, "merge_and_unload"), trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    folder = into / ("adapter" if adapted else "model")
    merges = adapted and config.export.merged
    drop_own_head(network)
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if sharded else network.state_dict()
    if trainer.is_world_process_zero():
        _save(config, network, state, folder)
        _beside(config, model, causal_model(network), folder)
        if merges:
            whole = read_anew(config, model, state)
            merged = whole.merge_and_unload()
            _save(config, merged, merged.state_dict(), into / "model")
            _beside(config, model, merged, into / "model")
    return into / "model" if merges else folder


def read_anew(config: Config, model: Model, state: Mapping[str, Any]) -> Any:
    """The network with the adapter's weights out of `state`, on the CPU, in fp32: merged from weights that no training has rounded."""
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # ZeRO-3 would shard what is read here too
    lora = config.tuning.lora.model_copy(update={"start": None, "bits": None})
    tuning = config.tuning.model_copy(update={"precision": "float32", "attention": "auto", "compile": False, "lora": lora})
    rank = config.loss.rank.model_copy(update={"head": "labels"})
    plain = config.model_copy(update={"tuning": tuning, "loss": config.loss.model_copy(update={"rank": rank})})
    network = load_network(model, plain)
    adapter = _adapter(state)
    if adapter.keys() != _adapter(network.state_dict()).keys():
        raise ModelError(f"{config.output / 'adapter'}: holds the trained adapter, but it does not fit the base weights: not merged")
    network.load_state_dict(adapter, strict=False)
    return network


def _adapter(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if "lora_" in name}


def _save(config: Config, network: Any, state: Mapping[str, Any], folder: Path) -> None:
    """Weights in the recipe's export type; of an adapter only its own, and of weights that are tied one copy."""
    adapted = hasattr(network, "merge_and_unload")
    kept = [name for name in state if not name.startswith(f"{OWN_HEAD}.") and name not in network.all_tied_weights_keys]
    state = _adapter(state) if adapted else {name: state[name] for name in kept}
    network.save_pretrained(folder, state_dict={name: _as(config, value) for name, value in state.items()})


def _beside(config: Config, model: Model, network: Any, folder: Path) -> None:
    """Tokenizer, the network's configuration, and how Firstrank is to use it."""
    model.tokenizer.save_pretrained(folder)
    network.config.use_cache = True
    network.config.save_pretrained(folder)
    (folder / SETTINGS_FILE).write_text(yaml.safe_dump(settings(model), sort_keys=False, allow_unicode=True), encoding="utf-8")


def settings(model: Model) -> dict[str, Any]:
    """`firstrank.yaml`: the model's settings with the template whole and the labels frozen, so that nothing elsewhere can change them."""
    spec, prompter = model.spec, model.prompter
    said = spec.model_dump(mode="json", exclude={"name", "weights", "template", "label_ids"}, exclude_defaults=True)
    always = {"answer": spec.answer, "window": spec.window, "stride": spec.stride, "context": prompter.context}
    shown = spec.read_template()
    template = shown.model_dump(mode="json", exclude_defaults=True)
    lettered = spec.answer != "permutation" and shown.labels == "letters"
    labels = {"label_ids": list(prompter.label_ids(len(prompter.identifiers)))} if lettered else {}
    description = f"{model.name}, trained by `firstrank train`"
    return said | always | {"description": description, "template": template} | labels


def _as(config: Config, value: Any) -> Any:
    import torch

    dtype = getattr(torch, config.export.dtype)
    return value.detach().to("cpu", dtype) if value.is_floating_point() else value
