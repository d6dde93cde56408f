"""What `firstrank rerank` refuses, by option, file and line, before anything is written."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"window": "0"}, "--window 0: give a number of passages from 1, or auto"),
        ({"window": "ten"}, "--window ten: give a number"),
        ({"depth": 0}, "--depth 0: must be at least 1"),
        ({"window": 10, "stride": 11}, "stride"),
        ({"strategy": "bubble"}, "bubble"),
        ({"strategy": "sliding:colour=red"}, "colour"),
        ({"backend": "oracle", "qrels": None}, "--backend oracle scores by judgments: give --qrels"),
        ({"backend": "openai"}, "give --base-url"),
        ({"backend": None, "model": "nonesuch"}, "model 'nonesuch': no such name"),
        ({"backend": None, "model": "default", "instruction": "refute it"}, "the model's template 'compact-mark' has no place for one"),
        ({"instruction": "refute it"}, "--instruction: --backend oracle reads no model"),
        ({"output": "nowhere/out.trec"}, "there is no folder"),
        ({"trace": "nowhere/trace.jsonl"}, "there is no folder"),
        ({"run": "nowhere.trec"}, "nowhere.trec: no such file"),
        ({"queries": "nowhere.tsv"}, "nowhere.tsv: no such file"),
        ({"corpus": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
        ({"qrels": "nowhere.txt"}, "nowhere.txt: no such file"),
        ({"backend": "nonesuch"}, "Invalid value for '--backend'"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_written(batch, firstrank, changes, problem):
    ended = firstrank(*batch.arguments(**changes))
    assert ended.code == 2
    assert problem in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    assert batch.left() == []


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("", "run.trec:1: the run is empty"),
        ("q1 Q0 q1d0 1 5\n", "run.trec:1: 5 columns; a run has six"),
        ("q1 Q0 q1d0 1 5 t\nq1 Q0 q1d0 2 4 t\n", "run.trec:2: docid 'q1d0' comes twice for query 'q1' (first on line 1)"),
        ("q1 Q0 q1d0 1 five t\n", "run.trec:1: the score 'five' is not a number"),
        ("q1 Q0 q1d0 1 nan t\n", "run.trec:1: the score 'nan' is not a finite number"),
        ("q1 Q0 q1d0 1 -inf t\n", "run.trec:1: the score '-inf' is not a finite number"),
        ("q1 Q0 q1d0 1 1e39 t\n", "run.trec:1: the score '1e39' is too large for float32"),
        ("q1 Q0 q1d0 1 5 t\nq1 Q0 caf\xe9 2 4 t\n", "run.trec:2: wrong encoding: byte 0xe9"),
        ("q1 Q0 q1d0 1 5 t\nq9 Q0 q1d0 1 5 t\n", "queries.tsv: no text for 1 of the 2 queries of"),
        ("q1 Q0 nowhere 1 5 t\n", "corpus.jsonl: 1 passage is not there, though the run names them (nowhere)"),
    ],
)
def test_a_run_that_is_wrong_is_named_by_file_and_line(batch, firstrank, lines, problem):
    batch.file("run.trec").write_bytes(lines.encode("latin-1"))
    ended = firstrank(*batch.arguments())
    assert ended.code == 2
    assert problem in ended.err
    assert batch.left() == []


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("queries.tsv", "q1 no tab\n", "queries.tsv:1: `qid<TAB>text` is expected"),
        ("queries.tsv", "", "queries.tsv:1: no queries"),
        ("corpus.jsonl", '{"_id": "q1d0", "text": "a"}\n{not json\n', "corpus.jsonl:2: not valid JSON"),
        ("corpus.jsonl", '{"_id": "q1d0", "text": "a"}\n{"_id": "q1d0", "text": "b"}\n', "corpus.jsonl:2: docid q1d0' comes twice"),
        ("qrels.txt", "q1 0 q1d0 high\n", "qrels.txt:1: the grade 'high' is not a whole number"),
        ("qrels.txt", "q1 0 q1d0 1\nq1 0 q1d0 2\n", "qrels.txt:2: docid 'q1d0' is judged twice for query 'q1'"),
    ],
)
def test_what_surrounds_a_run_is_named_by_file_and_line_too(batch, firstrank, name, content, problem):
    batch.file(name).write_text(content)
    ended = firstrank(*batch.arguments())
    assert ended.code == 2
    assert problem.replace("docid q1d0'", "docid 'q1d0'") in ended.err
    assert batch.left() == []


def test_more_candidates_than_labels_in_one_window(batch, firstrank, tiny_model):
    """150 candidates, 128 labels: `full` says how many there may be."""
    batch.file("run.trec").write_text("".join(f"q1 Q0 x{n} {n} {200 - n} t\n" for n in range(150)))
    batch.file("corpus.jsonl").write_text("".join(json.dumps({"_id": f"x{n}", "text": "a"}) + "\n" for n in range(150)))
    model = {"backend": None, "model": tiny_model, "device": "cpu", "qrels": None, "depth": 150}
    ended = firstrank(*batch.arguments(**model, strategy="full"))
    assert ended.code == 2
    assert "of these 150 candidates in a window; use depth" in ended.err
    assert batch.left() == []
    assert firstrank(*batch.arguments(**model, window="auto", json=True)).json["ranked"] == 1


def test_a_query_longer_than_the_context_alone_is_bad_input(batch, firstrank, tiny_model):
    batch.file("run.trec").write_text("q1 Q0 q1d0 1 5 t\n")
    batch.file("queries.tsv").write_text(f"q1\t{'why ' * 9000}\n")
    ended = firstrank(*batch.arguments(backend=None, model=tiny_model, device="cpu", qrels=None))
    assert ended.code == 2
    assert "query 'q1'" in ended.err
    assert "leaves no room for a passage; shorten the query 'why why" in ended.err
    assert batch.left() == []


def test_an_unreadable_model_folder(batch, firstrank, tiny_model, tmp_path):
    for file in tiny_model.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).symlink_to(file)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    ended = firstrank(*batch.arguments(backend=None, model=tmp_path, device="cpu"))
    assert ended.code == 2
    assert f"cannot load the weights in {tmp_path}" in ended.err
    assert batch.left() == []
