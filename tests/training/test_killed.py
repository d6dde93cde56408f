"""Whatever ends a run (kill -9, a full disk, a signal), the same command finishes it, with the bytes of one that nothing ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from firstrank.reranker.errors import InputError, MachineError
from firstrank.training.log import LOG, read_log
from firstrank.training.output import FINISHED, STAGE, last_checkpoint, staged
from firstrank.training.run import train
from tests.training.conftest import as_collection, write_rule

ROOT = Path(__file__).parents[2]


def fields_of(config) -> dict:
    return config.model_dump(mode="json", exclude={"output"}, exclude_defaults=True)


def interrupted(recipe, tmp_path, kills: int, full: int) -> dict:
    """What `killing` found of a run with a dev set, dropout and a limit on checkpoints."""
    dev = as_collection(write_rule(tmp_path / "dev.jsonl", 2, seed=1), tmp_path / "dev") | {"every": 2, "patience": 2}
    config = recipe(dev=dev, steps=6, checkpoints={"every": 2, "keep": 2}, output="unused")
    command = [sys.executable, "-m", "tests.training.killing", json.dumps(fields_of(config)), str(kills), str(full), "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "FIRSTRANK_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["differ"] == []
    for one in found["full"]:
        assert one["code"] in (0, 1), one  # 1: a sentence; no traceback
        if one["code"]:
            assert "cannot be written" in one["said"] or one["room"] < 400
    return found


def test_a_run_that_is_killed_or_has_no_room_ends_with_the_bytes_of_one_that_went_through(recipe, tmp_path):
    found = interrupted(recipe, tmp_path, kills=2, full=1)
    assert len(found["kills"]) >= 2


@pytest.mark.slow
def test_twenty_kills_and_ten_full_disks(recipe, tmp_path):
    found = interrupted(recipe, tmp_path, kills=20, full=10)
    print(json.dumps(found))
    assert any(one == "exporting" for one in found["kills"])
    assert any(one["code"] == 1 for one in found["full"])


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_leaves_a_checkpoint_and_says_so(number, recipe, tmp_path):
    recipe_file = tmp_path / "recipe.yaml"
    config = recipe(steps=5000, checkpoints={"every": 5000})
    recipe_file.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_defaults=True)))
    command = [sys.executable, "-m", "firstrank", "train", str(recipe_file)]
    running = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    while not any("loss" in entry for entry in read_log(config.output / LOG)):
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.05)
    running.send_signal(number)
    _, said = running.communicate()
    assert running.returncode == 128 + number
    saved = last_checkpoint(config.output / "checkpoints")
    assert saved is not None
    assert signal.Signals(number).name in said
    assert f"the checkpoint is {saved}, and the same command goes on from there" in " ".join(said.split())


def test_changed_data_is_refused_unless_it_is_allowed(recipe, tmp_path):
    file = write_rule(tmp_path / "train.jsonl", 20, seed=3)
    config = recipe(train=str(file), steps=3, checkpoints={"every": 1})
    assert train(config, minutes=0) is None
    write_rule(file, 21, seed=3)
    with pytest.raises(InputError, match=rf"{file} changed since this run began: .* --allow-changed-data"):
        train(config)
    assert train(config, allow_changed_data=True) == config.output / "model"


def test_an_export_that_fails_leaves_the_run_to_be_finished(recipe, monkeypatch):
    config = recipe(steps=2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("firstrank.training.card.write_card", full)
        with pytest.raises(MachineError, match="No space left on device; the same command exports again once there is room"):
            train(config)
    assert not (config.output / "model").exists()
    assert not (config.output / FINISHED).exists()
    assert train(config) == config.output / "model"
    assert not (config.output / STAGE).exists()
    with pytest.raises(InputError, match="this run is finished"):
        train(config)


def test_an_export_takes_its_place_only_when_it_is_whole(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("old")
    with suppress(ZeroDivisionError), staged(tmp_path) as stage:
        (stage / "model").mkdir()
        raise ZeroDivisionError
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["old"]
    with staged(tmp_path) as stage:
        (stage / "model").mkdir()
        (stage / "model" / "new").write_text("new")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["new"]


def test_every_example_is_checked_before_the_first_step(recipe, tmp_path):
    """The 15th has a query that leaves no room for five passages; windows grow to five only at the end."""
    file = write_rule(tmp_path / "train.jsonl", 20, seed=3)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[14]["query"] = "metal " * 900
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = recipe(train=str(file), draw={"window": {0: [2, 2], 1: [5, 5]}})
    with pytest.raises(InputError, match=rf"{file}:15: query 'q14'"):
        train(config)
    assert not (config.output / "config.yaml").exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"loss": {"rank": {"name": "lambdarank"}}}, r"train.jsonl:2: query 'q1': a grade of 500, but lambdarank gains 2\^grade - 1"),
        (
            {"loss": {"rank": {"name": "kl", "targets": "scores"}}},
            r"train.jsonl:1: query 'q0': loss.rank.targets=scores, but the example has no 'scores'",
        ),
        ({"optimiser": {"schedule": "warmup_stable_decay"}}, "optimiser.schedule=warmup_stable_decay: cannot be used"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_before_the_first_step(fields, said, recipe, tmp_path):
    file = write_rule(tmp_path / "train.jsonl", 20, seed=3)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[1]["grades"][lines[1]["passages"][0]["docid"]] = 500
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match=said):
        train(recipe(train=str(file), **fields))
