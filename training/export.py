"""What a run leaves: merged weights (`model/`), an adapter (`adapter/`), each with `firstrank.yaml`, tokenizer and configuration.

`firstrank rerank --model OUTPUT/model` and vLLM load the merged folder as it is. The adapter names its base weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from reranker.models import CARD, Model
from training.config import Config
from training.network import causal_model


def export(config: Config, model: Model, trainer: Any) -> Path:
    """Writes the trainer's present weights; gives the folder to rerank with. Sharded adapters are not merged."""
    network = trainer.accelerator.unwrap_model(trainer.model)
    adapted, sharded = hasattr(network, "merge_and_unload"), trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    folder = config.output / ("adapter" if adapted else "model")
    if sharded:
        trainer.save_model(str(folder))
    elif trainer.is_world_process_zero():
        _save(config, network, folder)
    if trainer.is_world_process_zero():
        _beside(config, model, causal_model(network), folder)
        if adapted and config.export.merged and not sharded:
            folder = config.output / "model"
            _save(config, network.merge_and_unload(), folder)
            _beside(config, model, causal_model(network), folder)
    return folder


def _save(config: Config, network: Any, folder: Path) -> None:
    """Weights in the recipe's export type; of an adapter only its own."""
    adapted = hasattr(network, "merge_and_unload")
    state = {name: value for name, value in network.state_dict().items() if not adapted or "lora_" in name}
    network.save_pretrained(folder, state_dict={name: _as(config, value) for name, value in state.items()})


def _beside(config: Config, model: Model, network: Any, folder: Path) -> None:
    """Tokenizer, the network's configuration, and how Firstrank is to use it."""
    model.tokenizer.save_pretrained(folder)
    network.config.use_cache = True
    network.config.save_pretrained(folder)
    (folder / CARD).write_text(yaml.safe_dump(card(config, model), sort_keys=False, allow_unicode=True), encoding="utf-8")


def card(config: Config, model: Model) -> dict[str, Any]:
    """`firstrank.yaml`: the model's settings with the template whole and the labels frozen, so that nothing elsewhere can change them."""
    spec, prompter = model.spec, model.prompter
    settings = spec.model_dump(mode="json", exclude={"name", "weights", "template", "label_ids"}, exclude_defaults=True)
    always = {"answer": spec.answer, "window": spec.window, "stride": spec.stride, "context": prompter.context}
    template = spec.read_template().model_dump(mode="json", exclude_defaults=True)
    labels = {"label_ids": list(prompter.label_ids(len(prompter.identifiers)))} if spec.answer == "logits" else {}
    description = f"{model.name}, trained by `firstrank train`"
    return settings | always | {"description": description, "template": template} | labels


def _as(config: Config, value: Any) -> Any:
    import torch

    dtype = getattr(torch, config.export.dtype)
    return value.detach().to("cpu", dtype) if value.is_floating_point() else value
