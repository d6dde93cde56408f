"""A BERT's weights, loaded: every tensor that the network has must be in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from firstrank.reranker.errors import ModelError
from firstrank.reranker.models.progress import working
from firstrank.reranker.models.quiet import quiet
from firstrank.reranker.models.turns import LOADING


def load_bert(kind: str, folder: Path, **options: Any) -> Any:
    """transformers' class `kind` with the folder's weights, fp32. Raises ModelError where they cannot be loaded, or do not fit."""
    import torch
    import transformers

    try:
        with LOADING, quiet(), working(f"loading {folder.name}"):
            network, info = getattr(transformers, kind).from_pretrained(folder, dtype=torch.float32, output_loading_info=True, **options)
    except Exception as error:  # what safetensors and a configuration raise has no common root
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"{folder}: cannot be loaded as a {kind}: {reason}") from error
    if lacking := sorted(info["missing_keys"]):
        raise ModelError(
            f"{folder}: its weights lack {len(lacking)} of a {kind}'s tensors, {lacking[0]} for example: another kind of model?"
        )
    return network.eval().requires_grad_(False)
