"""Queries that a model writes: a network on this machine, and hosts over real HTTP that a script stands for."""

from __future__ import annotations

import json
import re
import shutil
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from firstrank.reranker.batch.journal import Journal
from firstrank.reranker.errors import InputError, Interrupted, ModelError
from firstrank.reranker.models import remote
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.models.spec import ModelSpec
from firstrank.reranker.retrievers.bm25 import BM25
from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.queries import read_queries
from firstrank.reranker.scorers.openai import servers
from firstrank.reranker.scorers.transformers.options import TransformersOptions
from firstrank.reranker.texts.sources import read_passages
from firstrank.reranker.types import Passage
from firstrank.training.data import local_writer, questions
from firstrank.training.data.local_writer import LocalWriter
from firstrank.training.data.questions import Asking, QuestionPrompt, Written
from firstrank.training.data.selection import Selection
from tests.training.test_blended import firstrank

PROMPT = QuestionPrompt(instruction="Write queries.", examples=({"passage": "Bees make honey.", "query": "who makes honey"},))
ANIMALS = ["bee", "cow", "dog", "eel", "fox", "gnu"]
PASSAGES = [Passage(animal, f"The {animal} lives in number {i} of the long street by the river.") for i, animal in enumerate(ANIMALS)]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"_id": one.docid, "text": one.text}) + "\n" for one in PASSAGES))
    return path


def reasons(selection):
    return {why: counted["count"] for why, counted in selection.report()["reasons"].items()}


def test_a_prompt_ends_where_the_query_begins():
    asking = Asking(PROMPT, words=4)
    assert asking.of(Passage("d", "one two\n\nthree four", "A title")) == (
        "Write queries.\n\nPassage: Bees make honey.\nQuery: who makes honey\n\nPassage: A title one two\nQuery:"
    )


def test_the_shipped_prompt_is_read_and_a_wrong_one_is_a_sentence(tmp_path):
    assert len(questions.read_prompt("search").examples) == 3
    own = tmp_path / "own.yaml"
    own.write_text("instruction: Write claims.\n")
    assert questions.read_prompt(str(own)).of("a") == "Write claims.\n\nPassage: a\nQuery:"
    own.write_text("instruction: Write claims.\nexamples: [{passage: a, query: ''}]\n")
    with pytest.raises(InputError, match=r"own.yaml: examples.0.query: "):
        questions.read_prompt(str(own))
    with pytest.raises(InputError, match="--prompt none: no such file or name; names are search"):
        questions.read_prompt("none")


def test_passages_are_drawn_by_the_seed_and_more_of_them_begin_with_the_same():
    few = [*PASSAGES, Passage("short", "too few words")]
    assert questions.drawn(few, 3, 0) == questions.drawn(few, 6, 0)[:3]
    assert questions.drawn(few, 6, 0) != questions.drawn(few, 6, 1)
    assert {one.docid for one in questions.drawn(few, 9, 0)} == set(ANIMALS)
    with pytest.raises(InputError, match="a docid twice"):
        questions.drawn([*PASSAGES, PASSAGES[0]], 1, 0)


@pytest.mark.parametrize(
    ("said", "query"),
    [
        (" where does the bee live\nPassage: more", "where does the bee live"),
        ('\n\n"Where does  the bee live?"', "Where does the bee live?"),
        ("Query: **bee**\n", "bee"),
        ("  \n", ""),
    ],
)
def test_a_query_is_the_first_line_that_says_something(said, query):
    assert questions.query_in(said) == query


def test_what_is_no_query_is_counted():
    said = ["", "?!", "Who makes honey", PASSAGES[3].text, "where", "WHERE"]
    selection = Selection()
    written = [(passage, Written(passage.docid, text)) for passage, text in zip(PASSAGES, said, strict=True)]
    assert [one.query for one, _ in questions.well_written(written, PROMPT, selection)] == ["where"]
    assert reasons(selection) == {
        "the model wrote nothing": 1,
        "the query has no word": 1,
        "the query is an example's": 1,
        "the query is copied from the passage": 1,
        "the same query was written of another passage": 1,
    }


def test_a_query_is_kept_if_bm25_finds_its_passage_and_the_likeliest_of_them():
    said = {"bee": "bee street", "cow": "the dog", "dog": "dog river", "eel": "eel eel eel", "fox": "fox"}
    likelihoods = {"bee": -2.0, "dog": -0.5, "eel": -1.0, "fox": -3.0}
    written = [(one, Written(one.docid, said[one.docid], likelihoods.get(one.docid))) for one in PASSAGES[:5]]
    selection = Selection()
    kept = Asking(PROMPT, round_trip=1, likeliest=2).kept(written, BM25(PASSAGES), selection)
    assert [one.qid for one in kept] == ["question-dog", "question-eel"]
    assert selection.kept == 2
    assert reasons(selection) == {"BM25 does not find the passage among the first 1": 1, "less likely than the 2 that are kept": 2}


def plain(model, network, passage, asking, most):
    """Tokens and log probabilities, one forward pass a token, without padding and cache."""
    ids, found = model.tokenizer.encode(asking.of(passage)), []
    for _ in range(most):
        with torch.inference_mode():
            likely = network(torch.tensor([ids])).logits[0, -1].float().log_softmax(-1)
        found.append((int(likely.argmax()), float(likely.max())))
        ids.append(found[-1][0])
    return found


def test_a_local_model_writes_what_plain_steps_write(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(local_writer, "_TOKENS", 8)
    monkeypatch.setattr(local_writer, "_TOGETHER", 2)
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    model, asking = load_model(str(folder)), Asking(PROMPT)
    passages = [PASSAGES[0], Passage("long", "a much longer passage " * 9), *PASSAGES[1:3]]
    network = LocalWriter(model, TransformersOptions(device="cpu", threads=1), asking)._network
    steps = {one.docid: plain(model, network, one, asking, 8) for one in passages}
    end = steps["long"][5][0]  # the token that ends a text, as if the model had learned it
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": end}))
    found = list(LocalWriter(load_model(str(folder)), TransformersOptions(device="cpu", threads=1), asking).write(passages, ()))
    assert [one.docid for one in found] == [one.docid for one in passages]
    ended = 0
    for one in found:
        ids = [index for index, _ in steps[one.docid]]
        until = next((i for i, index in enumerate(ids) if index == end or "\n" in model.tokenizer.decode(ids[: i + 1])), None)
        if until is None:
            assert one.fault == "the query did not end after 8 tokens"
            continue
        ended += 1
        assert one.text == model.tokenizer.decode(ids[:until])
        assert one.likelihood == pytest.approx(sum(value for _, value in steps[one.docid][:until]) / until, abs=1e-4)
    assert ended


def test_a_prompt_that_the_context_does_not_hold_is_dropped_and_a_ranker_is_refused(tiny_model):
    asking = Asking(PROMPT, words=9000)
    writer = LocalWriter(load_model(str(tiny_model)), TransformersOptions(device="cpu", threads=1), asking)
    [one] = writer.write([Passage("d", "word " * 9000)], ())
    assert "longer than the model's context" in one.fault
    model = load_model(str(tiny_model), changed=lambda spec: spec.model_copy(update={"layers": 1}))
    with pytest.raises(ModelError, match="is cut to what ranks, and cannot write"):
        LocalWriter(model, TransformersOptions(device="cpu"), asking)
    with pytest.raises(InputError, match="--dtype int8: queries are written in float32"):
        LocalWriter(load_model(str(tiny_model)), TransformersOptions(device="cpu", dtype="int8"), asking)


def test_an_interrupted_command_goes_on_and_gives_the_same_bytes(tiny_model, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(local_writer, "_TOKENS", 8)
    monkeypatch.setattr(local_writer, "_TOGETHER", 2)
    monkeypatch.setattr(local_writer.LocalWriter, "_one", lambda self, passage, row, values: Written(passage.docid, f"{row}", values[0]))
    words = ["data", "invent", "--corpus", corpus, "--kind", "questions", "--model", tiny_model, "--threads", 1, "--round-trip", 0]
    assert firstrank(*words, "--output", tmp_path / "whole") == 0
    batches, plainly, add = [], LocalWriter._batch, Journal.add
    monkeypatch.setattr(LocalWriter, "_batch", lambda self, passages: batches.append(len(passages)) or plainly(self, passages))

    def interrupted(journal, qid, entry):
        if len(journal) == 3:
            raise Interrupted
        add(journal, qid, entry)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", interrupted)
        assert firstrank(*words, "--output", tmp_path / "cut") > 2
    assert not (tmp_path / "cut").exists()
    assert len((tmp_path / "cut.questions.part.jsonl").read_text().splitlines()) == 1 + 3
    assert firstrank(*words, "--seed", 1, "--output", tmp_path / "cut") == 2  # another seed, other passages
    assert firstrank(*words, "--output", tmp_path / "cut") == 0
    assert batches == [2, 2, 2, 2]  # the second batch twice: it was written together
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/train.tsv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(tmp_path.glob("*.part.jsonl"))


def test_a_model_that_never_ends_a_query_leaves_nothing_and_says_why(tiny_model, corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(local_writer, "_TOKENS", 2)
    words = ["data", "invent", "--corpus", corpus, "--kind", "questions", "--model", tiny_model, "--threads", 1]
    assert firstrank(*words, "--output", tmp_path / "made") == 2
    assert "no query is left: the query did not end after 2 tokens (6)" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


class Host:
    """A chat API over loopback: `answer` makes a status and JSON, or a text, of the passage's animal."""

    def __init__(self, answer):
        self.answer, self.bodies, self.keys = answer, [], []

    def animals(self):
        return [re.findall(r"The (\w+) lives", body["messages"][-1]["content"])[-1] for body in self.bodies if "lives" in str(body)]

    @contextmanager
    def running(self):
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                host.bodies.append(body)
                host.keys.append(self.headers["Authorization"])
                animal = ["trial", *re.findall(r"The (\w+) lives", body["messages"][-1]["content"])][-1]
                found = host.answer(animal)
                status, said = found if isinstance(found, tuple) else (200, completion(found))
                data = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_): ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            server.server_close()


def completion(text, finish="stop", **message):
    choice = {"message": {"role": "assistant", "content": text} | message, "finish_reason": finish}
    return {"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 10}}


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    monkeypatch.setattr(servers, "_FIRST_REST", 0.001)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")


def hosted(corpus, url, output, *more):
    words = ["--kind", "questions", "--backend", "chat", "--base-url", url, "--model", "gpt-x", "--engine-arg", "connections=2"]
    return firstrank("data", "invent", "--corpus", corpus, *words, "--output", output, *more)


def test_a_hosted_model_makes_a_collection(corpus, tmp_path, capsys):
    host = Host(lambda animal: f"<think>hm</think>Query: where does the {animal} live?")
    with host.running() as url:
        assert hosted(corpus, url, tmp_path / "made", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["kept"], report["dropped"]) == (6, 0)
    found = dict(read_queries(tmp_path / "made"))
    assert found == {f"question-{animal}": f"where does the {animal} live?" for animal in ANIMALS}
    assert list(read_passages(tmp_path / "made")) == PASSAGES
    assert {qid: [*judged] for qid, judged in read_qrels(tmp_path / "made", "train").items()} == {
        f"question-{one}": [one] for one in ANIMALS
    }
    assert set(host.keys) == {"Bearer secret"}
    body = host.bodies[-1]
    assert (body["model"], body["max_tokens"], body["temperature"], len(host.bodies)) == ("gpt-x", 64, 0.0, 1 + 6)
    assert [turn["role"] for turn in body["messages"]] == ["system", "user"]
    assert body["messages"][1]["content"].endswith("\nQuery:")
    assert "logprobs" not in body
    assert "response_format" not in body


def test_what_a_host_refuses_or_says_wrongly_is_counted_and_nothing_else_suffers(corpus, tmp_path, capsys, monkeypatch):
    (tmp_path / "made").mkdir()
    monkeypatch.chdir(tmp_path / "made")
    answers = {
        "cow": (400, {"error": {"message": "content filter"}}),
        "dog": (200, completion(None, refusal="No.")),
        "eel": (200, completion("where does the", finish="length")),
        "fox": "",
        "gnu": (503, {"error": {"message": "busy"}}),
    }
    host = Host(lambda animal: answers.get(animal, f"the {animal}"))
    with host.running() as url:
        assert hosted(corpus, url, ".", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["kept"], report["dropped"]) == (1, 5)
    said = {why: counted["first"] for why, counted in report["reasons"].items()}
    wanted = {"content filter": "cow", "refuses: No.": "dog", "answer_tokens=N": "eel", "wrote nothing": "fox", "after 6 tries": "gnu"}
    for why, animal in wanted.items():
        [docids] = [docids for reason, docids in said.items() if why in reason]
        assert docids == [animal]


PRICED = ModelSpec(name="gpt-x", template="chat", answer="permutation", prices={"input": 2.0, "output": 10.0})
COST = (100 * 2 + 10 * 10) / 1e6


def test_a_ceiling_holds_over_all_tries_and_no_passage_is_paid_for_twice(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(remote, "remote_settings", lambda name, template: PRICED)
    host = Host(lambda animal: f"the {animal}")
    one_more = 0.0040  # what a passage is reckoned with before its answer has come is below that
    with host.running() as url:
        assert hosted(corpus, url, tmp_path / "made", "--max-cost", one_more + 3 * COST) == 1
        first = host.animals()
        assert "--max-cost" in capsys.readouterr().err
        assert 1 <= len(first) < 6
        assert not (tmp_path / "made").exists()
        assert hosted(corpus, url, tmp_path / "made", "--max-cost", 2 * COST) == 1  # less than what is spent already
        assert host.animals() == first
        assert hosted(corpus, url, tmp_path / "made", "--max-cost", 1, "--json") == 0
    assert sorted(host.animals()) == ANIMALS
    assert json.loads(capsys.readouterr().out)["cost"] == pytest.approx(6 * COST)


def test_a_host_that_dies_ends_the_command_and_the_same_command_goes_on(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(servers, "_LOST", 2)
    host = Host(lambda animal: f"the {animal}")
    with host.running() as url:
        add = Journal.add

        def dying(journal, qid, entry):
            add(journal, qid, entry)
            if len(journal) == 2:
                monkeypatch.setattr(servers.Servers, "_post_to", refused(servers.Servers._post_to))

        with monkeypatch.context() as patch:
            patch.setattr(Journal, "add", dying)
            assert hosted(corpus, url, tmp_path / "made") == 1
    assert "no server answers: http://127.0.0.1" in capsys.readouterr().err
    asked = host.animals()
    monkeypatch.undo()
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with host.running() as url:  # at another port
        assert hosted(corpus, url, tmp_path / "made") == 0
    assert sorted(host.animals()) == ANIMALS
    assert len(asked) < 6


def refused(post):
    """As if the server's port were closed from now on."""

    async def closed(self, server, path, body):
        server.url = "http://127.0.0.1:9"
        return await post(self, server, path, body)

    return closed


def test_the_likeliest_by_the_hosts_own_numbers(corpus, tmp_path, capsys):
    def answer(animal):
        said = completion(f"the {animal}")
        numbers = {"content": [{"logprob": -1.0}, {"logprob": -3.0 if animal != "dog" else -0.5}]}
        return 200, said | {"choices": [said["choices"][0] | {"logprobs": numbers}]}

    host = Host(answer)
    with host.running() as url:
        assert hosted(corpus, url, tmp_path / "made", "--likeliest", 1) == 0
    assert dict(read_queries(tmp_path / "made")) == {"question-dog": "the dog"}
    assert all(body["logprobs"] for body in host.bodies)
    host = Host(lambda animal: f"the {animal}")
    with host.running() as url:
        assert hosted(corpus, url, tmp_path / "more", "--likeliest", 1) == 2
    assert "tells no log probabilities, which --likeliest goes by: leave it out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "401: the server needs a key: set OPENAI_API_KEY"), (404, "404 no such model"), (0, "no server answers there")],
)
def test_a_host_that_cannot_serve_is_found_out_at_once(corpus, tmp_path, capsys, status, said):
    host = Host(lambda animal: (status, {"error": {"message": "no such model"}}))
    with host.running() as url:
        if status:
            assert hosted(corpus, url, tmp_path / "made") == 2
    if not status:
        assert hosted(corpus, url, tmp_path / "made") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
    assert not list(tmp_path.glob("*.part.jsonl"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kind", "titles", "--model", "smollm2-base"], "--model: only with --kind questions"),
        (["--words", "9"], "--words: only with --kind questions"),
        (["--kind", "questions"], "name the model that writes them, for example --model smollm2-base"),
        (["--kind", "questions", "--model", "m", "--backend", "vllm"], "--backend vllm: queries are written by transformers or chat"),
        (["--kind", "questions", "--model", "m", "--backend", "chat"], "no server is named: give --base-url"),
        (["--kind", "questions", "--model", "m", "--max-cost", "1"], "--max-cost: only with --backend chat"),
        (["--kind", "questions", "--model", "nonesuch"], "model 'nonesuch': no such name, folder or Hugging Face id"),
        (["--kind", "questions", "--model", "m", "--prompt", "none"], "--prompt none: no such file or name"),
        (["--kind", "questions", "--model", "m", "--round-trip", "-1"], "--round-trip -1: must be at least 0"),
        (["--kind", "questions", "--model", "m", "--likeliest", "0"], "--likeliest 0: must be at least 1"),
        (["--kind", "questions", "--model", "m", "--words", "0"], "--words 0: must be at least 1"),
        (["--kind", "poems"], "the kind must be one of titles, sentences, keywords, questions"),
        (["--output", __file__], "is a file; give the name of a folder"),
        (["--output", "FOLDER"], "is what --corpus reads, and would be replaced"),
    ],
)
def test_what_cannot_be_asked_for_is_a_sentence(corpus, tmp_path, capsys, words, said):
    words = [corpus.parent if word == "FOLDER" else word for word in words]
    assert firstrank("data", "invent", "--corpus", corpus, "--output", tmp_path / "made", *words) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl"]


def test_an_engines_setting_that_has_no_effect_is_refused(corpus, tmp_path, capsys):
    assert hosted(corpus, "http://127.0.0.1:9", tmp_path / "made", "--engine-arg", "format=json") == 2
    assert "--engine-arg format: is an ordering's, and a query is text" in capsys.readouterr().err
