"""The journal of a batch: what is finished survives a crash, and nothing else is believed."""

from __future__ import annotations

import pytest

from firstrank.reranker.batch.journal import open_journal
from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.files import fingerprint, whole_file

FACTS = {"--run": "abc", "--depth": "100"}


def test_what_is_finished_is_found_again(tmp_path):
    output = tmp_path / "out.trec"
    with open_journal(output, FACTS) as journal:
        assert journal.resumed == 0
        journal.add("1", {"docids": ["a", "ß"], "scores": [0.1, -2.5]})
        journal.add("2", {"docids": []})
    with open_journal(output, FACTS) as journal:
        assert journal.resumed == 2
        assert "1" in journal
        assert "3" not in journal
        assert journal["1"] == {"qid": "1", "docids": ["a", "ß"], "scores": [0.1, -2.5]}
        journal.delete()
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_a_crash_cut_short_is_dropped(tmp_path):
    output = tmp_path / "out.trec"
    with open_journal(output, FACTS) as journal:
        journal.add("1", {"docids": ["a"]})
    part = tmp_path / "out.trec.part.jsonl"
    with part.open("ab") as file:
        file.write(b'{"qid": "2", "doc')
    with open_journal(output, FACTS) as journal:
        assert journal.resumed == 1
        journal.add("3", {"docids": ["c"]})
        assert journal["3"]["docids"] == ["c"]
        assert journal["1"]["docids"] == ["a"]


def test_a_crash_before_the_header_was_whole_begins_anew(tmp_path):
    (tmp_path / "out.trec.part.jsonl").write_bytes(b'{"firstr')
    with open_journal(tmp_path / "out.trec", FACTS) as journal:
        assert journal.resumed == 0


def test_other_inputs_or_options_are_refused_by_name(tmp_path):
    with open_journal(tmp_path / "out.trec", FACTS) as journal:
        journal.add("1", {})
    with pytest.raises(InputError, match="--depth"), open_journal(tmp_path / "out.trec", FACTS | {"--depth": "20"}):
        pass


def test_a_batch_that_finished_nothing_stands_in_nobodys_way(tmp_path):
    with open_journal(tmp_path / "out.trec", FACTS):
        pass
    with open_journal(tmp_path / "out.trec", FACTS | {"--depth": "20"}) as journal:
        journal.add("1", {})
    with open_journal(tmp_path / "out.trec", FACTS | {"--depth": "20"}) as journal:
        assert journal.resumed == 1


def test_a_file_of_somebody_elses_is_left_alone(tmp_path):
    part = tmp_path / "out.trec.part.jsonl"
    part.write_text("my notes\n")
    with pytest.raises(InputError, match="not a journal"), open_journal(tmp_path / "out.trec", FACTS):
        pass
    assert part.read_text() == "my notes\n"


def test_two_batches_for_one_output_are_one_too_many(tmp_path):
    with open_journal(tmp_path / "out.trec", FACTS), pytest.raises(InputError, match="another process"):  # noqa: SIM117 - the second one fails
        with open_journal(tmp_path / "out.trec", FACTS):
            pass


def test_a_folder_that_the_batch_writes_into_too_is_the_same_when_it_is_resumed(tmp_path):
    (tmp_path / "corpus.jsonl").write_text("one")
    before = fingerprint(tmp_path)
    with open_journal(tmp_path / "out.trec", FACTS), whole_file(tmp_path / "trace.jsonl") as trace:
        trace.write("begun")
        assert fingerprint(tmp_path) == before
    assert fingerprint(tmp_path) != before
