"""Encoders by name, loaded once in a process: `dense:minilm`, `sparse:splade-tiny`."""

from __future__ import annotations

from functools import lru_cache

from firstrank.reranker.encoders.dense import DenseEncoder
from firstrank.reranker.encoders.source import fetched, find_encoder
from firstrank.reranker.encoders.sparse import SparseEncoder
from firstrank.reranker.models.arithmetic import Arithmetic


@lru_cache(maxsize=4)
def open_dense(name: str, arithmetic: Arithmetic = "float32") -> DenseEncoder:
    """Raises ModelError for a name that does not exist, cannot be fetched, or is no bi-encoder."""
    spec, folder = find_encoder(name, "dense")
    return DenseEncoder(fetched(spec, folder), spec.tokens, arithmetic)


@lru_cache(maxsize=4)
def open_sparse(name: str) -> SparseEncoder:
    """Raises ModelError for a name that does not exist, cannot be fetched, or is no sparse encoder."""
    spec, folder = find_encoder(name, "sparse")
    return SparseEncoder(fetched(spec, folder), spec.tokens)
