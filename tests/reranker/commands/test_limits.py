"""`--limit`, `--tag`, `--version`, and a batch of which nothing could be ranked."""

from __future__ import annotations

import json
import re

import pytest

from tests.reranker.commands.batch import Batch


def test_a_limit_is_of_queries_and_measures_are_over_them(firstrank, batch):
    whole = firstrank(*batch.arguments(), "--json").json["measures"]
    ended = firstrank(*batch.arguments(limit=2), "--json")
    assert (ended.json["ranked"], list(batch.written())) == (2, ["q1", "q2"])
    assert ended.json["measures"]["nDCG@10"]["reranked"] == pytest.approx(whole["nDCG@10"]["reranked"])
    assert firstrank(*batch.arguments(limit=10_000), "--json").json["ranked"] == Batch.QUERIES
    assert "--limit 0: must be at least 1" in firstrank(*batch.arguments(limit=0)).err


def test_a_limit_holds_for_requests_too(firstrank, batch):
    lines = [
        {
            "query": {"qid": f"q{n}", "text": "x"},
            "candidates": [{"docid": f"q{n}d{i}", "score": 9 - i, "doc": {"text": "t"}} for i in range(3)],
        }
        for n in range(1, 4)
    ]
    batch.file("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = batch.arguments(run=None, queries=None, corpus=None, requests=batch.file("in.jsonl"), limit=1)
    assert firstrank(*words).code == 0
    assert list(batch.written()) == ["q1"]


def test_a_limited_batch_is_not_resumed_as_a_whole_one(batch):
    from firstrank.reranker.batch.job import Inputs, Missing

    def facts(limit):
        return Inputs(batch.file("run.trec"), None, None, None, 100, False, Missing.fail, limit).facts()

    assert len({str(facts(limit)) for limit in (None, 1, 2)}) == 3


def test_a_limited_retrieval(firstrank, batch):
    output = batch.file("bm25.trec")
    batch.file("queries.tsv").write_text("".join(f"q{i}\tthe moon and honey\n" for i in range(1, Batch.QUERIES + 1)))
    texts = ["honey comes from bees", "the moon is far", "nothing else"]
    batch.file("corpus.jsonl").write_text("".join(json.dumps({"_id": f"d{i}", "text": text}) + "\n" for i, text in enumerate(texts)))
    words = ("retrieve", "--queries", batch.file("queries.tsv"), "--corpus", batch.file("corpus.jsonl"), "--output", output)
    ended = firstrank(*words, "--limit", "2", "--tag", "mine", "--qrels", batch.file("qrels.txt"), "--json")
    assert ended.json["queries"] == 2
    rows = [line.split() for line in output.read_text().splitlines()]
    assert {row[0] for row in rows} <= {"q1", "q2"}
    assert {row[5] for row in rows} == {"mine"}


def test_a_tag_is_one_word(firstrank, batch):
    assert firstrank(*batch.arguments(tag="my-system")).code == 0
    assert {line.split()[5] for line in batch.output.read_text().splitlines()} == {"my-system"}
    for tag in ("two words", "", "tab\there"):
        ended = firstrank(*batch.arguments(), f"--tag={tag}")
        assert (ended.code, "must be one word" in ended.err) == (2, True)


def test_the_version(firstrank):
    ended = firstrank("--version")
    assert ended.code == 0
    assert re.fullmatch(r"firstrank \d+\.\d+\.\d+\S*\n", ended.out)


@pytest.mark.parametrize("how", ["keep", "skip"])
def test_a_batch_of_which_every_query_failed_does_not_end_well(firstrank, batch, tiny_model, how):
    batch.file("queries.tsv").write_text("".join(f"q{i}\t{'long ' * 9000}\n" for i in range(1, Batch.QUERIES + 1)))
    ended = firstrank(*batch.arguments(model=tiny_model, backend=None, on_error=how))
    assert ended.code == 2
    assert f"all {Batch.QUERIES} queries failed, so {batch.output} is {'the first stage' if how == 'keep' else 'empty'}" in ended.err
    assert batch.output.exists()
