"""A tiny network of random weights of each family, with the tiny model's tokenizer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 2048,
    "initializer_range": 0.2,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "mistral": ("Mistral", {"sliding_window": 64}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {}),
    "qwen3-moe": ("Qwen3Moe", _EXPERTS),
    "gemma2": ("Gemma2", {"sliding_window": 64, "query_pre_attn_scalar": 8}),
    "gemma3": ("Gemma3Text", {"sliding_window": 64, "query_pre_attn_scalar": 8}),
    "phi3": ("Phi3", {}),
    "gpt-oss": ("GptOss", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 64}),
    "gpt2": ("GPT2", {}),
}


def make_family(name: str, tiny_model: Path, folder: Path) -> Path:
    """Writes the model into `folder`."""
    import transformers

    prefix, own = FAMILIES[name]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    special = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")}
    fields = {"vocab_size": len(tokenizer)} | special | _SIZES | own
    if name == "gpt2":
        fields = {"vocab_size": len(tokenizer), "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 2048} | special
    config = getattr(transformers, f"{prefix}Config")(**fields)
    network = {"GPT2": "GPT2LMHeadModel", "Gemma3Text": "Gemma3ForCausalLM"}.get(prefix, f"{prefix}ForCausalLM")
    torch.manual_seed(0)
    getattr(transformers, network)(config).save_pretrained(folder)
    for file in tiny_model.glob("*token*"):
        shutil.copy(file, folder)
    for file in tiny_model.glob("*.jinja"):
        shutil.copy(file, folder)
    return folder
