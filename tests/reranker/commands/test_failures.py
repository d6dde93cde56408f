"""Queries that fail and texts that are missing: what becomes of them, and of the rest of the batch."""

from __future__ import annotations

import json

from tests.reranker.commands.batch import FIRST_STAGE, of


def make_one_query_fail(batch):
    """q2 alone is longer than the model's context."""
    batch.file("queries.tsv").write_text(f"q1\tone\nq2\t{'why ' * 9000}\nq3\tthree\n")


def test_a_query_that_fails_fails_the_batch_at_the_end_and_the_rest_is_kept(batch, firstrank, tiny_model):
    make_one_query_fail(batch)
    model = {"backend": None, "model": tiny_model, "device": "cpu", "depth": 5}
    ended = firstrank(*batch.arguments(**model))
    assert ended.code == 2
    assert "query 'q2' failed" in ended.err
    assert "1 of 3 queries failed, so" in ended.err
    assert batch.left() == ["out.trec.part.jsonl"]
    ended = firstrank(*batch.arguments(**model, json=True, on_error="skip"))
    assert (ended.code, ended.json["resumed"], ended.json["ranked"], ended.json["failed"]) == (0, 2, 0, 1)
    assert "leaves no room for a passage" in ended.json["failures"]["q2"]
    assert sorted(batch.written()) == ["q1", "q3"]
    assert batch.left() == ["out.trec"]


def test_a_window_that_fails_is_a_fault_of_the_machine(batch, firstrank, monkeypatch):
    from firstrank.reranker.errors import ScorerError
    from firstrank.reranker.scorers.oracle import OracleSession

    plain = OracleSession.answer

    def answer(self, indices):
        if self._qid == "q2":
            raise ScorerError("out of order")
        return plain(self, indices)

    monkeypatch.setattr(OracleSession, "answer", answer)
    ended = firstrank(*batch.arguments())
    assert ended.code == 1
    assert "query 'q2' failed: out of order" in ended.err
    assert batch.left() == ["out.trec.part.jsonl"]


def test_a_query_that_fails_can_keep_its_first_stage_order(batch, firstrank, tiny_model):
    make_one_query_fail(batch)
    ended = firstrank(*batch.arguments(backend=None, model=tiny_model, device="cpu", depth=5, on_error="keep"))
    assert ended.code == 0
    assert "query 'q2' failed" in ended.err
    assert list(batch.written()) == ["q1", "q2", "q3"]
    assert of("q2", batch.written()["q2"]) == FIRST_STAGE


def without_text(batch, *docids):
    corpus = batch.file("corpus.jsonl")
    corpus.write_text("".join(line + "\n" for line in corpus.read_text().splitlines() if json.loads(line)["_id"] not in docids))


def test_a_docid_without_text_fails_or_goes_to_the_tail(batch, firstrank):
    without_text(batch, "q1d29", "q3d0")
    ended = firstrank(*batch.arguments())
    assert (ended.code, batch.left()) == (2, [])
    assert "2 passages are not there, though the run names them (q1d29, q3d0); is this the run's corpus?" in ended.err
    ended = firstrank(*batch.arguments(missing="skip"))
    assert ended.code == 0, ended.err
    assert batch.written()["q1"][-1] == "q1d29"
    assert batch.written()["q3"][-1] == "q3d0"


def test_one_candidate_and_a_query_whose_every_text_is_missing(batch, firstrank):
    batch.file("run.trec").write_text("q1 Q0 q1d0 1 5 t\nq2 Q0 nowhere 1 5 t\n")
    ended = firstrank(*batch.arguments(missing="skip", json=True))
    assert ended.code == 0, ended.err
    assert batch.written() == {"q1": ["q1d0"], "q2": ["nowhere"]}


def test_an_empty_text_is_warned_of_and_ranked(batch, firstrank, caplog):
    corpus = batch.file("corpus.jsonl")
    corpus.write_text(corpus.read_text().replace('all of q1d7"', '"'))
    assert firstrank(*batch.arguments()).code == 0
    assert "1 passage is empty: ranked like any other (q1d7)" in caplog.text
    assert "q1d7" in batch.written()["q1"]
