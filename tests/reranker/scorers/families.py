"""Tiny models with random weights of the families that read a passage at a time, on the tiny model's tokenizer."""

from __future__ import annotations

import shutil
from pathlib import Path

CARD = """
template:
  prompt: "<|im_start|>Is it asked for? {instruction}\\nQuery: {query}\\nText: {text}<|im_end|>\\n<|im_start|>"
  instruction: find it
answer: pointwise
pointwise: {yes: y, no: n}
context: 1024
"""
SIZE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "initializer_range": 0.2,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
FAMILIES = {
    "qwen3": ("Qwen3", {}),
    "gemma2": ("Gemma2", {"query_pre_attn_scalar": 16, "sliding_window": 64}),
    "llama": ("Llama", {}),
    "minicpm3": (
        "MiniCPM3",
        {"q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 16, "v_head_dim": 16, "num_key_value_heads": 4},
    ),
}


def make(folder: Path, tokenizer: Path, family: str, card: str = CARD) -> Path:
    """A model's folder; its norms have random weights too."""
    import torch
    import transformers

    for file in tokenizer.glob("*token*"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder)
    kind, own = FAMILIES[family]
    torch.manual_seed(3)
    config = getattr(transformers, f"{kind}Config")(vocab_size=1000, **(SIZE | own))
    network = getattr(transformers, f"{kind}ForCausalLM")(config)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "norm" in name:
                weight.normal_(mean=1.0, std=0.3)
    network.save_pretrained(folder)
    (folder / "firstrank.yaml").write_text(card)
    return folder
