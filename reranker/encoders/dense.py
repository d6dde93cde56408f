"""Texts -> unit vectors, by the mean of a BERT's last states (Reimers and Gurevych, arXiv 1908.10084)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from firstrank.reranker.encoders.batches import Batches
from firstrank.reranker.encoders.network import load_bert
from firstrank.reranker.models.arithmetic import Arithmetic
from firstrank.reranker.models.int8 import quantize

Floats = NDArray[np.float32]

EXAMPLE = "Plants make their food by photosynthesis; 1,204 patients were given 500 mg of metformin for 24 weeks. x = f(3.14)"
"""shows which of a network's channels are large"""


class DenseEncoder:
    """A bi-encoder in a folder; in bf16 or int8 its vectors differ a little. Raises ModelError where it cannot be loaded."""

    def __init__(self, folder: Path, tokens: int, arithmetic: Arithmetic = "float32") -> None:
        self._batches = Batches(folder, tokens)
        self._network = load_bert("BertModel", folder, add_pooling_layer=False)
        if arithmetic == "int8":
            quantize(self._network, lambda: self([EXAMPLE]))
        elif arithmetic == "bfloat16":
            self._network.bfloat16()

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Floats:
        """[texts, d], each of length 1."""
        found = np.zeros((len(texts), self._network.config.hidden_size), np.float32)
        for places, ids, mask in self._batches(texts):
            states = self._network(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            mean = (states * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
            found[places] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return found
