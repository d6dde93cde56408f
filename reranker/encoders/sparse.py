"""Texts -> weights of words, by a learned sparse encoder (SPLADE, arXiv 2109.10086).

A text's weight of a word is the maximum over its tokens of log(1 + relu(logit)); a score is the dot product of two texts. Of a passage that
is scored for one query, only the words that the query has are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from firstrank.reranker.encoders.batches import Batches
from firstrank.reranker.encoders.network import load_bert

Floats = NDArray[np.float32]


_ROWS = 256
"""texts whose whole rows exist at once"""


class Words(NamedTuple):
    """A text's words (ids of the vocabulary) and their weights."""

    ids: torch.Tensor
    weights: torch.Tensor


class SparseEncoder:
    """A masked language model in a folder. Raises ModelError where it cannot be loaded."""

    def __init__(self, folder: Path, tokens: int) -> None:
        self._batches = Batches(folder, tokens)
        self._network = load_bert("BertForMaskedLM", folder)
        self._head = self._network.cls.predictions

    @torch.inference_mode()
    def words(self, text: str) -> Words:
        """All words of a text that have a weight."""
        [weights] = self._weights([text], self._head.decoder.weight, self._head.decoder.bias)
        ids = weights.nonzero().squeeze(1)
        return Words(ids, weights[ids])

    @torch.inference_mode()
    def scores(self, query: Words, texts: Sequence[str]) -> Floats:
        """[texts]: the dot product of each text with the query."""
        weights = self._weights(texts, self._head.decoder.weight[query.ids], self._head.decoder.bias[query.ids])
        found: Floats = (weights @ query.weights).numpy()
        return found

    @torch.inference_mode()
    def matrix(self, texts: Sequence[str]) -> csr_matrix:
        """[texts, vocabulary], fp32."""
        head, bias = self._head.decoder.weight, self._head.decoder.bias
        parts = (self._weights(texts[i : i + _ROWS], head, bias) for i in range(0, len(texts), _ROWS))
        return vstack([csr_matrix(part.numpy()) for part in parts], format="csr")

    def _weights(self, texts: Sequence[str], head: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """[texts, rows of the head]."""
        found = torch.zeros(len(texts), len(head))
        for places, ids, mask in self._batches(texts):
            states = self._head.transform(self._network.bert(input_ids=ids, attention_mask=mask).last_hidden_state)
            logits = torch.nn.functional.linear(states, head, bias)
            best = logits.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).amax(1)
            found[places] = torch.log1p(torch.relu(best))
        return found
