"""How point-smollm2 is trained, on a tiny model and tiny collections: lists, windows, training, adapter."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from benchmarks.points.data import natural
from benchmarks.points.reader import Reader, Recipe
from benchmarks.points.train import drawn, learn, rate, read_recipe, recipe_of, restored, within_time
from benchmarks.points.window import Windows
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.models.network import load_network
from firstrank.reranker.reranker import Reranker
from tests.reranker.scorers.windows import docstrings

COLLECTIONS = ("qed", "squad-part", "squadshifts", "wikipedia-pool", "selqa", "medquad", "scifact")
SETTINGS = """\
template: compact-mark
passage_tokens: 80
excerpt: query
answer: pointwise
pointwise: {yes: "["}
layers: 2
norm: plain
context: 4096
"""
GPU = Path(__file__).parents[2] / "benchmarks/points/default-gpu.yaml"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def run(name: str, *words: object) -> None:
    import_module(f"benchmarks.points.{name}").main([str(word) for word in words])


def counts(texts: list[str]) -> np.ndarray:
    """Teachers that count letters: those that are shipped take seconds to load."""
    found = np.array([[text.lower().count(letter) for letter in LETTERS] for text in texts], np.float32)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def words(text: str) -> SimpleNamespace:
    [row] = torch.tensor(counts([text]))
    ids = row.nonzero().squeeze(1)
    return SimpleNamespace(ids=ids, weights=row[ids])


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two parts."""
    folder = tmp_path_factory.mktemp("points")
    found = docstrings(40)[:40]
    for name in COLLECTIONS:
        at = folder / "collections" / name
        (at / "qrels").mkdir(parents=True)
        passages = [{"_id": f"wiki-{i}", "title": f"Title {i // 4}", "text": text} for i, (_, text) in enumerate(found)]
        (at / "corpus.jsonl").write_text("".join(json.dumps(one) + "\n" for one in passages))
        asked = [{"_id": f"q{i}", "text": f"which is the {found[i][1][:60]}?"} for i in range(6)]
        (at / "queries.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked))
        (at / "qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(f"q{i}\twiki-{i}\t1\n" for i in range(6)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.points.data.open_dense", lambda name: counts)
        sparse = SimpleNamespace(matrix=lambda texts: csr_matrix(counts(texts)), words=words)
        patch.setattr("benchmarks.points.data.open_sparse", lambda name: sparse)
        documentation = folder / "collections/qed/corpus.jsonl"
        run("data", folder / "collections", folder / "lists", "--documentation", documentation, "--parts", 2)
    return folder / "lists"


@pytest.fixture(scope="module")
def settings(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with the settings of one that reads a passage at a time."""
    folder = tmp_path_factory.mktemp("settings") / "point"
    shutil.copytree(tiny_model, folder)
    (folder / "firstrank.yaml").write_text(SETTINGS)
    return folder


@pytest.fixture
def recipe(lists: Path, settings: Path) -> Recipe:
    return Recipe(lists=str(lists), start=str(settings), settings=str(settings), lowest=1, marks=(1, 2))


def test_lists_hold_grades_and_gold_of_the_corpus(lists):
    corpus = {json.loads(line)["_id"] for line in (lists / "corpus.jsonl").read_text().splitlines()}
    found = [json.loads(line) for k in (0, 1) for line in (lists / f"lists-{k}.jsonl").read_text().splitlines()]
    assert all({*one["docids"], *one["gold"]} <= corpus for one in found)
    assert all(len(one["docids"]) == len(set(one["docids"])) == len(one["grades"]) for one in found)
    assert any(one["gold"] for one in found)
    assert all(abs(np.mean(one["grades"])) < 1e-3 for one in found), "sums of z-scores"


@pytest.mark.parametrize(
    ("tokens", "text"), [("`` Is n't it ''  ( 1986 -- 1987 ) , he 's", "\"Isn't it\"  (1986 – 1987), he's"), ("as it is.", "as it is.")]
)
def test_tokens_become_text(tokens, text):
    assert natural(tokens) == text


def test_windows_are_functions_of_their_numbers(lists, settings):
    model = load_model(str(settings))
    first, again = (Windows(lists, model, model.spec) for _ in range(2))
    assert [first.train(k) for k in range(20)] == [again.train(k) for k in reversed(range(20))][::-1]
    assert all(3 <= len(first.train(k).suffixes) == len(first.train(k).grades) <= 24 for k in range(20))
    assert first.held_out() == again.held_out()


def test_marks_and_gradients_are_those_of_whole_prompts(recipe, settings, lists, monkeypatch):
    """Plain transformers reads header + passage, a passage at a time; its loss has the same slope."""
    monkeypatch.setattr("benchmarks.points.reader.arithmetic", lambda tuning: "float32")
    reader = Reader(recipe)
    windows = [Windows(lists, reader.model, reader.settings).train(k) for k in range(2)]
    found = torch.cat(reader.marks(windows)[-1])
    found.square().sum().backward()
    model = load_model(str(settings))
    plain = load_network(model.name, Path(model.path), torch.float32, layers=2, norm="plain")
    prompts = [[*window.header, *suffix] for window in windows for suffix in window.suffixes]
    wanted = torch.stack([plain(input_ids=torch.tensor([prompt])).logits[0, -1, model.pointwise.ids[0]] for prompt in prompts])
    assert found.detach().tolist() == pytest.approx(wanted.tolist(), abs=1e-3)
    wanted.square().sum().backward()
    slopes = dict(plain.named_parameters())
    for name, change in reader.network.named_parameters():
        if name.endswith("lora_B.default.weight"):
            whole = slopes[name.removeprefix("base_model.model.").replace("lora_B.default.", "")].grad
            a = reader.network.get_parameter(name.replace("lora_B", "lora_A"))
            assert torch.allclose(change.grad, 2.0 * whole @ a.T, rtol=1e-2, atol=1e-2 * float(change.grad.abs().max())), name


def test_the_rate_rises_stands_and_falls_to_0(recipe):
    rates = [rate(recipe, step) / recipe.lr for step in (0, 9, 19, 1100, 1160, 1199, 1200)]
    assert rates == pytest.approx([0.05, 0.5, 1.0, 1.0, 0.5, 1 / 80, 0.0])


def test_trains_goes_on_and_ranks_with_the_exported_adapter(recipe, settings, tiny_model, lists, tmp_path, monkeypatch):
    at, whole = tmp_path / "run", tmp_path / "whole"
    words = ["--start", settings, "--settings", settings, "--lowest", 1, "--marks", 1, 2, "--steps", 3, "--threads", 1]
    monkeypatch.setattr("benchmarks.points.train.SAVED", 1)
    run("train", lists, whole, *words)
    with monkeypatch.context() as patch:
        patch.setattr("benchmarks.points.train.HELD", 2)
        patch.setattr("benchmarks.points.train.held_out", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run("train", lists, at, *words)
    assert torch.load(at / "checkpoint.pt", weights_only=True)["step"] == 2
    run("train", lists, at, *words)
    found, wanted = (torch.load(folder / "checkpoint.pt", weights_only=True)["adapter"] for folder in (at, whole))
    assert all(map(torch.equal, found, wanted))
    last = [json.loads(line) for line in (at / "log.jsonl").read_text().splitlines()][-1]
    assert last["step"] == 3
    assert np.isfinite(last["held"])
    with pytest.raises(SystemExit, match="another recipe"):
        run("train", lists, at, *words, "--steps", 4)

    run("export", at, tmp_path / "adapter", "--base", tiny_model)
    reader = Reader(Recipe(**{**json.loads((at / "recipe.json").read_text()), "marks": (1, 2)}))
    restored(at, reader)
    window = Windows(lists, reader.model, reader.settings).train(0)
    marks = [mark for [mark] in reader.marks([window])]
    model = load_model(str(tmp_path / "adapter"))
    network = load_network(model.name, Path(model.path), torch.float32, base=Path(model.base), layers=2, norm="plain")
    ids = torch.tensor([[*window.header, *window.suffixes[0]]])
    assert float(network(input_ids=ids).logits[0, -1, model.pointwise.ids[0]]) == pytest.approx(marks[-1][0].item(), rel=0.05, abs=0.5)
    with Reranker(str(tmp_path / "adapter"), threads=1) as reranker:
        assert len(reranker.rank("which sorts a list?", [text for _, text in docstrings(5)[:6]])) == 6


def test_windows_of_a_pass_learn_what_they_learn_alone(recipe, lists):
    """The gradients of four windows in two passes, in one, and one by one; made ready here or by other processes."""
    found = []
    for together in (1, 3, 4):
        reader = Reader(recipe)
        windows = [Windows(lists, reader.model, reader.settings).train(k) for k in range(4)]
        each = [one for start in range(0, 4, together) for one in learn(reader, windows[start : start + together], recipe)]
        found.append((torch.stack(each), [weight.grad for weight in reader.moving]))
    for told, slopes in found[1:]:
        assert torch.allclose(told, found[0][0], rtol=2e-2)
        largest = max(float(slope.abs().max()) for slope in found[0][1])
        assert all(torch.allclose(one, other, atol=2e-2 * largest) for one, other in zip(slopes, found[0][1], strict=True))
    many = replace(recipe, windows=2, steps=4)
    here, there = ([*drawn(Numbers(), replace(many, workers=workers), 1)] for workers in (0, 1))
    assert here == there == [[2, 3], [4, 5], [6, 7]]


class Numbers:
    def train(self, k: int) -> int:
        return k


def test_a_recipe_with_minutes_has_as_many_steps_as_it_has_time_for(recipe):
    assert within_time(recipe, 30, 60.0).steps == 1200
    assert within_time(replace(recipe, minutes=3.0), 30, 60.0).steps == 30 + 60
    assert within_time(replace(recipe, minutes=3.0, steps=40), 30, 60.0).steps == 40


def test_a_recipe_s_file_has_fields_of_a_recipe_alone(tmp_path):
    assert recipe_of({"lists": "lists", **read_recipe(GPU)}).windows == 64
    (tmp_path / "recipe.yaml").write_text("windows: 2\nwindws: 3\n")
    with pytest.raises(SystemExit, match=r"recipe.yaml: windws: give fields of a recipe: fall, lowest"):
        read_recipe(tmp_path / "recipe.yaml")


@pytest.mark.gpu
def test_the_gpu_s_script_from_lists_to_adapter(settings, tiny_model, lists, tmp_path):
    """Three steps on a CPU, with gzipped lists."""
    packed = tmp_path / "lists"
    packed.mkdir()
    for file in lists.iterdir():
        (packed / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    words = ["--start", settings, "--settings", settings, "--lowest", 1, "--marks", 1, 2, "--steps", 3, "--workers", 0, "--threads", 1]
    command = ["bash", "benchmarks/gpu/train_default.sh", packed, tmp_path / "out", *words]
    environment = {**os.environ, "PYTHON": sys.executable, "BASE": str(tiny_model)}
    done = subprocess.run([str(word) for word in command], cwd=GPU.parents[2], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out/run/log.jsonl").read_text().splitlines()[-1])["step"] == 3
    with Reranker(str(tmp_path / "out/adapter"), threads=1) as reranker:
        assert len(reranker.rank("which sorts a list?", [text for _, text in docstrings(5)[:6]])) == 6


def interrupt(*_: object) -> float:
    raise KeyboardInterrupt


def test_the_adapter_it_began_from_goes_along(tmp_path):
    """The product of the joined matrices is the sum of the changes; other scales are refused."""
    from safetensors.torch import save_file

    from benchmarks.points.export import side_by_side

    torch.manual_seed(0)
    own, first = ({"x.lora_A.weight": torch.randn(r, 5), "x.lora_B.weight": torch.randn(6, r)} for r in (3, 2))
    save_file({**first, "beyond.lora_A.weight": torch.ones(1, 1)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text('{"r": 2, "lora_alpha": 4}')
    both = side_by_side(own, 2.0, tmp_path)
    wanted = sum(one["x.lora_B.weight"] @ one["x.lora_A.weight"] for one in (own, first))
    assert both.keys() == own.keys()
    assert torch.allclose(both["x.lora_B.weight"] @ both["x.lora_A.weight"], wanted, atol=1e-5)
    with pytest.raises(SystemExit, match="do not add up"):
        side_by_side(own, 1.0, tmp_path)
