"""The same weights, in folders that both tools read: a type of numbers in config.json, and RankLLM's prompt in `firstrank.yaml`."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from firstrank.reranker.models.catalog import find_model, pull
from firstrank.reranker.models.spec import SETTINGS_FILE, ModelSpec
from firstrank.reranker.prompt.template import Template, read_template

TEMPLATE = "first-rankllm"


def prepared(model: str, into: Path, words: int, window: int, stride: int) -> Path:
    """A folder per type of numbers, `into`/float32 and `into`/bfloat16, with `words` of a passage in a prompt. Raises ModelError."""
    source, spec = pull(model), find_model(model)[0]
    for dtype in ("float32", "bfloat16"):
        folder = into / dtype
        folder.mkdir(parents=True)
        for file in source.iterdir():
            (folder / file.name).symlink_to(file.resolve())
        _changed(folder / "config.json", dtype)
        settings = folder / SETTINGS_FILE
        settings.unlink(missing_ok=True)
        settings.write_text(yaml.safe_dump(_settings(spec, words, window, stride)), encoding="utf-8")
    return into


def _changed(config: Path, dtype: str) -> None:
    found = json.loads(config.read_text(encoding="utf-8"))
    found.pop("torch_dtype", None)
    config.unlink()
    config.write_text(json.dumps(found | {"dtype": dtype}), encoding="utf-8")


def _settings(spec: ModelSpec, words: int, window: int, stride: int) -> dict[str, object]:
    template = read_template(TEMPLATE)
    assert isinstance(template, Template)
    shown = template.model_copy(update={"words": words}).model_dump(exclude_defaults=True, exclude={"name"})
    own = spec.model_dump(mode="json", include={"context", "label_ids", "chat"}, exclude_defaults=True)
    return own | {"template": shown, "answer": "logits", "strategy": "sliding", "window": window, "stride": stride}
