"""The labels' share of the probability of all tokens: what a check of the template wants to know, and ranking does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def label_mass(network: Any, prompt: Sequence[int], labels: Sequence[int]) -> float:
    """Of the token after a prompt, by the network's own head. A forward pass of its own."""
    import torch

    ids = torch.tensor([list(prompt)], device=network.device)
    with torch.inference_mode():
        logits = network(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1].float()
    return float(torch.softmax(logits, 0)[list(labels)].sum())
