"""A run's adapter, for whoever has the base weights.

    python -m benchmarks.points.export RUN OUTPUT [--base smollm2-base]

Where the run began from weights that an adapter was merged into, that adapter's change goes along: sBA + sB'A' = s[B B'][A; A'], so the
ranks add up, and both must have the same scale. fp16; OUTPUT is a folder for `--model`, with the settings that it was trained for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from peft import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.arguments import parser_of
from benchmarks.points.reader import Reader
from benchmarks.points.train import recipe_of, restored
from firstrank.reranker.config import config_dir
from firstrank.reranker.models.spec import SETTINGS_FILE


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("points.export", __doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--base", default="smollm2-base", help="the model that the adapter is for: a name or a folder")
    options = parser.parse_args(words)
    if not (options.run / "checkpoint.pt").exists():
        raise SystemExit(f"{options.run}: holds no checkpoint.pt: train first")
    recipe = recipe_of(json.loads((options.run / "recipe.json").read_text()))
    reader = Reader(recipe)
    restored(options.run, reader)
    settings: Any = reader.network.peft_config["default"]
    state = {name: one.cpu() for name, one in get_peft_model_state_dict(reader.network).items()}
    if (first := reader.model.spec.weights.adapter) is not None:
        state = side_by_side(state, settings.lora_alpha / settings.r, config_dir() / "models" / first)
    scale, settings.r = settings.lora_alpha / settings.r, next(len(one) for name, one in state.items() if ".lora_A." in name)
    settings.lora_alpha, settings.base_model_name_or_path, settings.inference_mode = scale * settings.r, options.base, True
    options.output.mkdir(parents=True, exist_ok=True)
    settings.save_pretrained(options.output)
    save_file({name: one.detach().cpu().half().contiguous() for name, one in state.items()}, options.output / "adapter_model.safetensors")
    spec = reader.settings.model_dump(mode="json", exclude={"name", "weights", "description"}, exclude_defaults=True)
    (options.output / SETTINGS_FILE).write_text(yaml.safe_dump(spec, sort_keys=False))
    print(f"{options.output}: rank {settings.r}")


def side_by_side(own: Mapping[str, Tensor], scale: float, folder: Path) -> dict[str, Tensor]:
    """The sum of two changes, in the layers that `own` has."""
    said = json.loads((folder / "adapter_config.json").read_text())
    if said["lora_alpha"] / said["r"] != scale:
        raise SystemExit(
            f"{folder}: its scale (alpha / rank) is {said['lora_alpha'] / said['r']:g}, the run's {scale:g}: they do not add up"
        )
    first = load_file(folder / "adapter_model.safetensors")
    return {name: torch.cat([one.float(), first[name].float()], 0 if ".lora_A." in name else 1) for name, one in own.items()}


if __name__ == "__main__":
    sys.exit(main())
