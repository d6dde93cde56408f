"""What there was before training is said: in the log, in the card, and in a warning where training made it worse."""

from __future__ import annotations

import json

import pytest

from firstrank.training.card import card_text, warn_below
from firstrank.training.log import LOG, read_log
from firstrank.training.run import open_model, train
from tests.training.conftest import as_collection

STEP = {"step": 1, "loss": 1.0, "lm": 1.0, "rank": 1.0, "windows": 4, "tokens": 100}


@pytest.mark.parametrize(
    ("best", "warned"), [(0.7, []), (0.5, ["first stage, 0.6000"]), (0.3, ["first stage, 0.6000", "untrained, 0.4000"])]
)
def test_a_model_below_what_there_was_before_is_warned_of(best, warned, recipe, caplog):
    config = recipe()
    log = [{"step": 0, "ndcg@10": 0.4, "first stage": 0.6}, STEP, {"step": 1, "ndcg@10": best}, {"step": 2, "ndcg@10": 0.1}]
    config.output.mkdir()
    (config.output / LOG).write_text("".join(json.dumps(entry) + "\n" for entry in log))
    warn_below(config)
    said = [record.message for record in caplog.records if record.levelname == "WARNING" and "is below" in record.message]
    assert [one.rpartition("of the ")[2] for one in said] == warned
    card = card_text(config, open_model(config), {}, log)
    assert "| dev nDCG@10 before training | first stage 0.6000, untrained 0.4000 |" in card
    assert f"| dev nDCG@10 | {best:.4f} at step 1, whose weights these are |" in card


def test_weights_in_bf16_are_scored_while_they_are_trained(recipe, train_file, tmp_path, monkeypatch):
    monkeypatch.setattr("firstrank.training.machine._has_bf16", lambda: True)
    dev = as_collection(train_file, tmp_path / "dev") | {"limit": 2, "every": 2}
    tuning = {"precision": "mixed", "lora": {"rank": 4, "alpha": 8}}
    config = recipe(steps=2, dev=dev, checkpoints={"every": 2}, tuning=tuning)
    train(config)
    assert [entry["step"] for entry in read_log(config.output / LOG) if "ndcg@10" in entry] == [0, 2]
