"""Texts -> unit vectors, by the mean of a BERT's last states (Reimers and Gurevych, arXiv 1908.10084)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from firstrank.reranker.encoders.batches import Batches
from firstrank.reranker.encoders.network import load_bert

Floats = NDArray[np.float32]


class DenseEncoder:
    """A bi-encoder in a folder. Raises ModelError where it cannot be loaded."""

    def __init__(self, folder: Path, tokens: int) -> None:
        self._batches = Batches(folder, tokens)
        self._network = load_bert("BertModel", folder, add_pooling_layer=False)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Floats:
        """[texts, d], each of length 1."""
        found = np.zeros((len(texts), self._network.config.hidden_size), np.float32)
        for places, ids, mask in self._batches(texts):
            states = self._network(input_ids=ids, attention_mask=mask).last_hidden_state
            mean = (states * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
            found[places] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return found
