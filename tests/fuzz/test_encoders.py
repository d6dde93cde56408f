"""The encoders that stand before a model: no text adds a control token, and none is a fault."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from benchmarks.attacks import passages
from firstrank.reranker.encoders.batches import Batches
from tests.fuzz.tokenizers import SPECIALS, tiny_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    made = tmp_path_factory.mktemp("encoder")
    tiny_tokenizer("wordpiece").backend_tokenizer.save(str(made / "tokenizer.json"))
    return made


def test_no_hostile_passage_adds_a_control_token(folder):
    known = Tokenizer.from_file(str(folder / "tokenizer.json"))
    control = {known.token_to_id(name) for name in SPECIALS} - {known.token_to_id("<unk>")}
    assert known.token_to_id("</s>") in known.encode("a </s> b").ids
    texts = [one.text for one in passages(200)] + ["a </s> b", "half \ud83d of a pair", "\udc00"]
    seen = [place for batch in Batches(folder, 64)(texts) for place in batch.places]
    assert sorted(seen) == list(range(len(texts)))
    ids = {
        int(index)
        for batch in Batches(folder, 64)(texts)
        for row, real in zip(batch.ids, batch.mask, strict=True)
        for index in row[real > 0]
    }
    assert not ids & control
