"""Options without effect, numbers out of range, and outputs that are inputs: refused by one table, before anything is loaded or written."""

from __future__ import annotations

import shutil

import pytest

from firstrank.reranker.cli import _commands
from firstrank.reranker.commands.checks import _INPUTS, _OUTPUTS
from firstrank.reranker.scorers import rules

RERANK = [
    ("--encoder minilm", "--encoder: only with --feedback"),
    ("--vectors v", "--vectors: only with --feedback"),
    ("--feedback 0 --vectors v", "--vectors: only with --feedback"),
    ("--dtype float32", "--dtype: only with --backend transformers or vllm"),
    ("--threads 2 --device cpu", "--device: only with --backend transformers"),
    ("--model default", "--model: --backend oracle scores by judgments and reads no model"),
    ("--revision v1", "--revision: --backend oracle reads no model"),
    ("--cascade default", "--cascade: the windows go to a larger model, and --backend oracle has none"),
    ("--base-url http://a", "--base-url: only with --backend openai"),
    ("--engine-arg max_model_len=8", "--engine-arg: only with --backend vllm or openai"),
    ("--strategy full --window 3", "--window: the strategy 'full' has no such setting; it has passes, top_k"),
    ("--strategy topdown:k=3 --passes 2", "--passes: the strategy 'topdown:k=3' has no such setting; it has budget, k, top_k, window"),
    ("--strategy blitz --stride 2", "--stride: the strategy 'blitz' has no such setting"),
    ("--strategy consistent:of=topdown --stride 2", "--stride: the strategy 'consistent:of=topdown' has no such setting"),
    ("--strategy sliding:window=4 --window 6", "--window: --strategy sliding:window=4 sets it already"),
    ("--passes 0", "--passes 0: must be at least 1"),
    ("--stride 0", "--stride 0: must be at least 1"),
    ("--depth 0", "--depth 0: must be at least 1"),
    ("--top-k 0", "--top-k 0: must be at least 1"),
    ("--noise nan", "--noise nan: must be a number"),
    ("--noise -1", "--noise -1: must be at least 0"),
    ("--workers 2", "--workers: only with --workers-on ray"),
    ("--prior first-stage --prior-depth 0 --passes 2", "--passes: with --prior-depth 0 no model reads anything"),
]


@pytest.mark.parametrize(("more", "said"), RERANK)
def test_what_has_no_effect_is_refused_with_its_flag(firstrank, batch, more, said):
    ended = firstrank(*batch.arguments(), *more.split())
    assert (ended.code, batch.left()) == (2, [])
    assert said in ended.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--noise 1", "--noise: only with --backend oracle"),
        ("--defer-budget 0.5", "--defer-budget: only with --cascade"),
        ("--defer-rule nonsense", "--defer-rule: only with --cascade"),
        ("--revision v1", "--revision v1 is for models on the hub; this one is the folder"),
        ("--prior-depth 3", "prior_depth (--prior-depth): only with a prior"),
        ("--fuse 0.3", "fuse (--fuse): only with a prior"),
        ("--threads 0", "--threads 0: must be at least 1"),
        ("--threads -1", "--threads -1: must be at least 1"),
        ("--lanes 0", "--lanes 0: must be at least 1"),
    ],
)
def test_a_model_s_too_and_no_model_is_loaded(firstrank, batch, tiny_model, monkeypatch, more, said):
    monkeypatch.setattr("firstrank.reranker.models.network.load_network", None)
    ended = firstrank(*batch.arguments(backend=None, qrels=None, model=tiny_model), *more.split())
    assert (ended.code, batch.left()) == (2, [])
    assert said in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("retrieve --queries q --corpus c --output o --save-vectors v", "--save-vectors: only with --retriever dense:MODEL"),
        (
            "retrieve --queries q --corpus c --output o --retriever pyserini:i",
            "--corpus: --retriever pyserini:INDEX holds the texts itself",
        ),
        ("retrieve --queries q --corpus c --output o --depth 0", "--depth 0: must be at least 1"),
        ("feedback --run r --vectors v --output o --objective ridge --steps 3", "--steps: only with --objective kl or ranknet"),
        ("feedback --run r --vectors v --output o --candidates 0", "--candidates 0: must be at least 1"),
        ("eval --dataset d --run r --output o --depth 5", "--depth: only with --rerank MODEL"),
        ("eval --dataset d --run r --output o --dtype float16 --stride 3", "--dtype, --stride: only with --rerank"),
        ("eval --dataset d --run r --output o --workers-on ray", "--workers-on: only with --rerank"),
        ("eval --dataset d --run r --output o --seed -1", "--seed -1: must be at least 0"),
        ("bench throughput --clients 3", "--clients: only with --server"),
        ("bench throughput --server --windows 3", "--windows: not with --server"),
        ("bench latency --output o --split dev", "--split: only with --dataset"),
        ("bench latency --output o --prefix-cache off", "--prefix-cache: only with --backend vllm"),
    ],
)
def test_every_command_reads_the_same_table(firstrank, words, said):
    ended = firstrank(*words.split())
    assert ended.code == 2
    assert said in ended.err


def test_the_table_names_options_that_there_are():
    from firstrank.reranker.cli import _command
    from firstrank.reranker.setup import SETTINGS
    from firstrank.server.settings import Settings

    names = {*SETTINGS, *Settings.model_fields}  # `serve` has its flags from there
    waiting = [_command(entry) for entry in _commands().values()]
    while waiting:
        one = waiting.pop()
        waiting += getattr(one, "commands", {}).values()
        names |= {parameter.name for parameter in one.params}
    written = {name for row in rules.EFFECTS for name in row.options} | set(rules.RANGES) | set(_INPUTS) | set(_OUTPUTS)
    assert written <= names


def test_python_s_words_are_those_of_python():
    from firstrank.reranker.errors import InputError

    for settings, said in (
        ({"noise": 1.0}, "noise: only with backend oracle"),
        ({"strategy": "full", "window": 3}, "window: the strategy"),
    ):
        with pytest.raises(InputError, match=f"^{said}"):
            rules.check(settings)


def test_an_output_that_is_an_input_is_refused_and_the_input_is_whole(firstrank, batch):
    kept = {name: batch.file(name).read_bytes() for name in ("corpus.jsonl", "queries.tsv", "run.trec", "qrels.txt")}
    for option, name in (("corpus", "corpus.jsonl"), ("queries", "queries.tsv"), ("run", "run.trec"), ("qrels", "qrels.txt")):
        for output in ("output", "trace"):
            ended = firstrank(*batch.arguments(**{output: batch.file(name)}))
            assert ended.code == 2
            assert f"--{output} {batch.file(name)}: is what --{option} reads" in ended.err
    assert kept == {name: batch.file(name).read_bytes() for name in kept}


def test_by_another_name_it_is_the_same_file(firstrank, batch, tmp_path):
    link, hard = tmp_path / "link.trec", tmp_path / "hard.trec"
    link.symlink_to(batch.file("run.trec"))
    hard.hardlink_to(batch.file("run.trec"))
    dotted = batch.folder / ".." / batch.folder.name / "run.trec"
    for output in (link, hard, dotted):
        assert "is what --run reads" in firstrank(*batch.arguments(output=output)).err
    assert "--trace" in firstrank(*batch.arguments(trace=batch.output)).err


def test_a_file_of_an_input_s_folder_is_an_input(firstrank, batch, tmp_path):
    beir = tmp_path / "beir"
    (beir / "qrels").mkdir(parents=True)
    shutil.copy(batch.file("corpus.jsonl"), beir)
    shutil.copy(batch.file("qrels.txt"), beir / "qrels/test.tsv")
    for inside in (beir / "corpus.jsonl", beir / "qrels/test.tsv"):
        ended = firstrank(*batch.arguments(corpus=beir, output=inside))
        assert f"--output {inside}: is what --corpus reads" in ended.err
    assert firstrank(*batch.arguments(corpus=beir, output=beir / "out.trec")).code == 0
    assert firstrank(*batch.arguments(corpus=beir, output=beir / "out.trec")).code == 0
    assert firstrank("retrieve", "--queries", beir / "corpus.jsonl", "--corpus", beir, "--output", beir / "corpus.jsonl").code == 2


def test_what_is_no_plain_file_may_be_both(firstrank, batch):
    assert firstrank(*batch.arguments(output="/dev/null", trace="/dev/null")).code == 0


@pytest.mark.parametrize("name", ["o.json", "o.jsonl", "o.JSONL.gz", "o.ndjson"])
def test_a_run_that_is_named_json_is_refused(firstrank, batch, name):
    queries, corpus = batch.file("queries.tsv"), batch.file("corpus.jsonl")
    for words in (
        batch.arguments(output=batch.file(name)),
        ["retrieve", "--queries", queries, "--corpus", corpus, "--output", batch.file(name)],
        ["feedback", "--run", batch.file("run.trec"), "--vectors", "v", "--output", batch.file(name)],
    ):
        ended = firstrank(*words)
        assert (ended.code, batch.left()) == (2, [])
        assert f"--output {batch.file(name)}: is a TREC run: name it .trec or .run" in ended.err


@pytest.mark.parametrize("name", ["o.trec.bz2", "o.xz", "o.zip", "o.zst", "o.tgz"])
@pytest.mark.parametrize("option", ["output", "trace"])
def test_what_is_not_written_packed_may_not_be_named_so(firstrank, batch, name, option):
    ended = firstrank(*batch.arguments(**{option: batch.file(name)}))
    assert (ended.code, batch.left()) == (2, [])
    assert "is written as plain text, or compressed where the name ends in .gz" in ended.err
