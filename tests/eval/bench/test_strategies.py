"""`firstrank bench strategies` and `bench cascade`: what TREC-DL 2019 promises of each schedule, and the commands end to end."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firstrank.eval.bench import strategies
from firstrank.eval.bench.collection import read_collection
from firstrank.reranker.cli import app
from firstrank.reranker.errors import InputError
from firstrank.reranker.scorers.cascade.deferral import read_rule
from firstrank.reranker.setup import Setup


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five queries of thirty candidates each, in a BEIR folder with a run whose order says little; one more is not judged."""
    folder = tmp_path_factory.mktemp("collection")
    draw = random.Random(0)
    (folder / "qrels").mkdir()
    docids = [f"d{i}" for i in range(30)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"_id": docid, "text": f"passage number {docid}"}) + "\n" for docid in docids))
    (folder / "queries.jsonl").write_text("".join(json.dumps({"_id": f"q{i}", "text": "a query"}) + "\n" for i in range(6)))
    judged = "".join(f"q{i}\t{docid}\t{draw.randrange(4)}\n" for i in range(5) for docid in docids)
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    rows = [f"q{i} Q0 {docid} {rank} {100 - rank} first" for i in range(6) for rank, docid in enumerate(draw.sample(docids, 30), 1)]
    (folder / "run.trec").write_text("\n".join(rows) + "\n")
    return folder


def run(small: Path, output: Path, command: str, *more: str):
    source = ["--run", str(small / "run.trec"), "--queries", str(small), "--corpus", str(small), "--qrels", str(small)]
    return CliRunner().invoke(app, ["bench", command, *source, "--output", str(output), *more], catch_exceptions=False)


def test_what_trec_dl_2019_promises_of_each_schedule(data):
    """Depth 100, window 20, top 10, a perfect oracle: medians over the 43 queries."""
    dl19 = data / "msmarco-v1-dl19"
    collection = read_collection(dl19 / "runs/bm25.trec.gz", str(dl19), str(dl19), str(dl19), 100)
    names = ("sliding", "topdown", "tournament", "blitz")
    rows = {row.strategy: row for row in strategies.measure_oracle(collection, names, [0.0], 1)}
    sliding = rows["sliding"].median
    assert len(collection.requests) == 43
    assert (sliding["windows"], sliding["rounds"], sliding["passages"]) == (9, 9, 180)
    assert rows["topdown"].median["windows"] <= 7
    assert rows["topdown"].median["rounds"] <= 3
    assert rows["topdown"].median["prompt_tokens"] <= 0.70 * sliding["prompt_tokens"]
    assert rows["tournament"].median["passages"] < 180
    assert rows["blitz"].median["passages"] < 180
    assert {round(row.effectiveness, 9) for row in rows.values()} == {round(rows["sliding"].effectiveness, 9)}


def test_a_table_json_and_a_plot(small, tmp_path):
    done = run(small, tmp_path, "strategies", "--noise", "0", "--noise", "0.5", "--seeds", "3", "--depth", "25", "--json")
    found = json.loads(done.stdout)
    assert json.loads((tmp_path / "strategies.json").read_text()) == found
    assert (found["queries"], found["depth"]) == (5, 25)
    rows = {(row["strategy"], row["noise"]): row for row in found["rows"]}
    assert len(rows) == 2 * len(strategies.STRATEGIES)
    perfect, noisy = rows["sliding", 0.0], rows["sliding", 0.5]
    assert (perfect["seeds"], perfect["interval"], noisy["seeds"]) == (1, None, 3)
    assert perfect["effectiveness"] > noisy["effectiveness"] > found["first_stage"]
    assert noisy["interval"][0] <= noisy["effectiveness"] <= noisy["interval"][1]
    assert perfect["median"] == {"windows": 2, "rounds": 2, "passages": 40, "prompt_tokens": 2 * (2 + 20 * 3)}
    assert (tmp_path / "strategies.png").stat().st_size > 1000
    picture = (tmp_path / "strategies.svg").read_text()
    assert all(name in picture for name in strategies.STRATEGIES)


def test_the_same_seeds_give_the_same_figures(small, tmp_path):
    options = ("--noise", "1", "--seeds", "2", "--strategy", "topdown", "--json")
    first, second = (run(small, tmp_path / name, "strategies", *options).stdout for name in "ab")
    assert first == second


def test_a_table_is_printed_and_a_model_may_stand_in_for_the_oracle(small, tmp_path, tiny_model):
    done = run(small, tmp_path, "strategies", "--model", str(tiny_model), "--strategy", "topdown:k=3", "--depth", "12")
    assert "topdown:k=3" in done.stdout
    [row] = json.loads((tmp_path / "strategies.json").read_text())["rows"]
    assert (row["noise"], row["median"]["windows"]) == (None, 1)
    assert row["median"]["prompt_tokens"] > 100


def test_a_model_ranks_with_its_own_window_where_a_strategy_names_none(small, tiny_model, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    for file in tiny_model.iterdir():
        (model / file.name).symlink_to(file)
    (model / "firstrank.yaml").write_text("window: 4\nstride: 2\n")
    collection = read_collection(small / "run.trec", str(small), str(small), str(small), 12)
    names = ("sliding", "sliding:window=6,stride=3")
    own, named = strategies.measure_model(collection, names, Setup.of(str(model), threads=1))
    assert (own.median["windows"], named.median["windows"]) == (5, 3)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--strategy", "slidng"), "unknown strategy"),
        (("--seeds", "0"), "at least 1"),
        (("--noise", "-1"), "--noise -1: must be at least 0"),
        (("--depth", "0"), "--depth 0"),
        (("--model", "default", "--noise", "1"), "give one of them"),
        (("--threads", "1"), "--threads: only with --model"),
    ],
)
def test_bad_options_are_refused(small, tmp_path, more, message):
    with pytest.raises(InputError, match=message):
        run(small, tmp_path, "strategies", *more)


def test_a_cascade_beside_a_coin(small, tmp_path, monkeypatch):
    source = ["--fit-run", str(small / "run.trec"), "--fit-queries", str(small), "--fit-corpus", str(small), "--fit-qrels", str(small)]
    options = ["--strategy", "sliding:window=6,stride=3", "--budget", "0", "--budget", "0.5", "--budget", "1", "--seeds", "2", "--json"]
    done = run(small, tmp_path, "cascade", *source, *options, "--save-rule", str(tmp_path / "rule.json"))
    points = {(point["rule"], point["budget"]): point for point in json.loads(done.stdout)["points"]}
    assert len({rule for rule, _ in points}) == 8
    for rule in ("random", "entropy", "margin", "learned", "stake"):
        assert points[rule, 0.0]["share"] == 0
        assert points[rule, 1.0]["share"] == 1
        assert points[rule, 0.0]["effectiveness"] == points["random", 0.0]["effectiveness"]
        assert points[rule, 1.0]["effectiveness"] == points["random", 1.0]["effectiveness"] > points["random", 0.0]["effectiveness"]
        assert rule == "random" or 0.2 < points[rule, 0.5]["share"] <= 0.5
    assert read_rule(tmp_path / "rule.json").windows > 50
    monkeypatch.setenv("COLUMNS", "140")
    table = run(small, tmp_path, "cascade", *source, "--budget", "0.5", "--seeds", "1").stdout
    assert "above random" in table
    assert "50%" in table
    with pytest.raises(InputError, match="must be between 0 and 1"):
        run(small, tmp_path, "cascade", *source, "--budget", "30")


def test_a_cascade_of_two_models(small, tmp_path, tiny_model):
    source = ["--fit-run", str(small / "run.trec"), "--fit-queries", str(small), "--fit-corpus", str(small), "--fit-qrels", str(small)]
    options = ["--strategy", "sliding:window=6,stride=3", "--budget", "0", "--budget", "1", "--depth", "9", "--threads", "1", "--json"]
    done = run(small, tmp_path, "cascade", *source, *options, "--model", str(tiny_model), "--cascade", str(tiny_model))
    found = json.loads(done.stdout)
    assert (found["small"], found["large"], found["seeds"]) == (str(tiny_model), str(tiny_model), 1)
    assert {point["effectiveness"] for point in found["points"]} == {found["points"][0]["effectiveness"]}
    for more, said in (
        (("--model", "x"), "name the large one with --cascade"),
        (("--cascade", "x"), "--cascade: only with --model"),
    ):
        with pytest.raises(InputError, match=said):
            run(small, tmp_path, "cascade", *source, *more)
