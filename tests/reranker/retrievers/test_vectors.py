"""Vectors on disk, and exact search among them."""

from __future__ import annotations

import numpy as np
import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.retrievers import vectors
from firstrank.reranker.retrievers.fusion import fuse
from firstrank.reranker.retrievers.vectors import Vectors, read_vectors, search
from firstrank.reranker.runs.trec import Ranked


def some(n, d=8, prefix="d", seed=0):
    return Vectors(tuple(f"{prefix}{i}" for i in range(n)), np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32))


@pytest.mark.parametrize("faiss", [True, False])
def test_search_is_exact_with_ties_by_docid(faiss, monkeypatch):
    monkeypatch.setattr(vectors, "find_spec", lambda name: faiss or None)
    monkeypatch.setattr(vectors, "_BLOCK", 7)
    passages, queries = some(50), some(3, prefix="q", seed=1)
    passages.values[10:14] = passages.values[10]
    for ranked, query in zip(search(passages, queries, 20), queries.values, strict=True):
        scores = passages.values @ query
        expected = sorted(range(50), key=lambda i: (np.float32(scores[i]), passages.ids[i]), reverse=True)[:20]
        assert list(ranked.docids) == [passages.ids[i] for i in expected]
        np.testing.assert_allclose(ranked.scores, scores[expected], rtol=1e-5)


def test_what_is_saved_is_read(tmp_path):
    saved = some(5)
    saved.save(tmp_path / "new", "passages")
    found = read_vectors(tmp_path / "new", "passages")
    assert found.ids == saved.ids
    np.testing.assert_array_equal(found.values, saved.values)


def test_a_folder_that_is_none_of_ours_is_refused(tmp_path):
    with pytest.raises(InputError, match="--save-vectors"):
        read_vectors(tmp_path, "passages")
    some(3).save(tmp_path, "passages")
    (tmp_path / "passages.ids").write_text("a\nb\n")
    with pytest.raises(InputError, match="2 different ids for 3 vectors"):
        read_vectors(tmp_path, "passages")
    (tmp_path / "passages.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match="not an array"):
        read_vectors(tmp_path, "passages")
    np.save(tmp_path / "passages.npy", np.zeros(3))
    with pytest.raises(InputError, match="float32"):
        read_vectors(tmp_path, "passages")


def test_a_faiss_index_as_pyserini_keeps_it(tmp_path):
    import faiss

    saved = some(5)
    index = faiss.IndexFlatIP(8)
    index.add(saved.values)
    faiss.write_index(index, str(tmp_path / "index"))
    (tmp_path / "docid").write_text("".join(f"{one}\n" for one in saved.ids))
    found = read_vectors(tmp_path, "passages")
    assert found.ids == saved.ids
    np.testing.assert_array_equal(found.values, saved.values)
    (tmp_path / "docid").write_text("a\n")
    with pytest.raises(InputError, match="1 ids for 5 vectors"):
        read_vectors(tmp_path, "passages")
    (tmp_path / "index").write_bytes(b"no index")
    with pytest.raises(InputError, match="cannot be read"):
        read_vectors(tmp_path, "passages")


def test_two_models_vectors_do_not_mix():
    with pytest.raises(InputError, match="two models"):
        list(search(some(3, d=8), some(1, d=4), 2))


def test_fusion_by_reciprocal_ranks():
    one = Ranked("q", ("a", "b", "c"), np.array([3, 2, 1], np.float32))
    other = Ranked("q", ("c", "a"), np.array([9, 8], np.float32))
    fused = fuse([one, other], depth=2)
    assert fused.docids == ("a", "c")
    np.testing.assert_allclose(fused.scores, [1 / 61 + 1 / 62, 1 / 63 + 1 / 61], rtol=1e-6)
