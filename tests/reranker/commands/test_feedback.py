"""Relevance feedback from end to end: real passages, real vectors, the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firstrank.reranker.cli import app
from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.trec import read_run

runner = CliRunner()


def call(*arguments):
    done = runner.invoke(app, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture(scope="module")
def small(data, tmp_path_factory) -> Path:
    """Thirty questions over XQuAD's first forty paragraphs; other paragraphs of the same article are relevant too, with grade 1."""
    folder = tmp_path_factory.mktemp("xquad")
    passages = [json.loads(line) for line in (data / "xquad-en/corpus.jsonl").read_text(encoding="utf-8").splitlines()][:40]
    known = {passage["_id"]: passage for passage in passages}
    qrels = [line.split("\t") for line in (data / "xquad-en/qrels/test.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    qrels = [(qid, docid) for qid, docid, _ in qrels if docid in known][::5][:30]
    asked = (data / "xquad-en/queries.jsonl").read_text(encoding="utf-8").splitlines()
    texts = {row["_id"]: row["text"] for row in map(json.loads, asked)}
    (folder / "corpus.jsonl").write_text("".join(json.dumps(passage) + "\n" for passage in passages), encoding="utf-8")
    lines = (json.dumps({"_id": qid, "text": texts[qid]}) + "\n" for qid, _ in qrels)
    (folder / "queries.jsonl").write_text("".join(lines), encoding="utf-8")
    rows = []
    for qid, docid in qrels:
        article = docid.partition("-")[0]
        rows += [(qid, docid, 2)] + [(qid, other, 1) for other in known if other.partition("-")[0] == article and other != docid]
    (folder / "qrels.tsv").write_text("".join(f"{qid}\t0\t{docid}\t{grade}\n" for qid, docid, grade in rows), encoding="utf-8")
    return folder


def recall(run, qrels, depth):
    judged: dict[str, set[str]] = {}
    for line in qrels.read_text().splitlines():
        qid, _, docid, _ = line.split("\t")
        judged.setdefault(qid, set()).add(docid)
    found = read_run(run)
    return sum(len(judged[qid] & set(found[qid].docids[:depth])) / len(judged[qid]) for qid in judged) / len(judged)


def test_what_a_perfect_reranker_says_of_ten_candidates_finds_more_of_the_others(small, tmp_path):
    first, reranked, second = (tmp_path / f"{name}.trec" for name in ("first", "reranked", "second"))
    vectors = tmp_path / "vectors"
    where = ("--queries", small / "queries.jsonl", "--corpus", small)
    call("retrieve", *where, "--retriever", "dense:minilm", "--depth", 10, "--output", first, "--save-vectors", vectors)
    call("rerank", "--run", first, *where, "--backend", "oracle", "--qrels", small / "qrels.tsv", "--output", reranked, "--depth", 10)
    call("feedback", "--run", reranked, "--vectors", vectors, "--output", second, "--depth", 10, "--candidates", 10)
    assert recall(second, small / "qrels.tsv", 10) > recall(first, small / "qrels.tsv", 10)

    one_command = tmp_path / "all.trec"
    arguments = ("rerank", *where, "--feedback", 1, "--vectors", vectors, "--depth", 10, "--output", one_command)
    call(*arguments, "--backend", "oracle", "--qrels", small / "qrels.tsv")
    assert {qid: set(ranked.docids) for qid, ranked in read_run(one_command).items()} == {
        qid: set(ranked.docids) for qid, ranked in read_run(second).items()
    }
    assert not one_command.with_name("all.trec.feedback").exists()


def test_bad_input_is_a_sentence(small, tmp_path):
    run = tmp_path / "run.trec"
    run.write_text("unknown Q0 d 1 1.0 t\n")
    with pytest.raises(InputError, match="--save-vectors"):
        call("feedback", "--run", run, "--vectors", tmp_path, "--output", tmp_path / "out.trec")
    with pytest.raises(InputError, match="--save-vectors: only with --retriever dense:MODEL or hybrid:MODEL"):
        call("retrieve", "--queries", small, "--corpus", small, "--output", run, "--save-vectors", tmp_path / "v")
    with pytest.raises(InputError, match="only with --feedback"):
        call("rerank", "--run", run, "--queries", small, "--corpus", small, "--output", tmp_path / "out.trec", "--vectors", tmp_path)
    with pytest.raises(InputError, match="at least 1"):
        call("feedback", "--run", run, "--vectors", tmp_path, "--output", tmp_path / "out.trec", "--depth", 0)
    assert not (tmp_path / "out.trec").exists()


@pytest.mark.parametrize("retriever", ["rm3", "hybrid:minilm"])
def test_other_first_stages(small, tmp_path, retriever):
    output = tmp_path / "run.trec"
    call("retrieve", "--queries", small, "--corpus", small, "--retriever", retriever, "--depth", 10, "--output", output)
    assert recall(output, small / "qrels.tsv", 10) > 0.3
