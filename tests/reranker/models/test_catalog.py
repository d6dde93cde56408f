"""A model's name -> settings and folder; and names that are nothing."""

from __future__ import annotations

import pytest

from firstrank.reranker.errors import ModelError
from firstrank.reranker.models.catalog import pull
from firstrank.reranker.models.loaded import load_model


@pytest.mark.parametrize("name", ["nonesuch", "./nowhere", "a/b/c", "../default"])
def test_a_name_that_is_nothing(name):
    with pytest.raises(ModelError, match=r"no such name, folder or Hugging Face id \(org/name\); names are default"):
        load_model(name)


def test_pull_of_a_folder_is_the_folder(tiny_model):
    assert pull(str(tiny_model)) == tiny_model
