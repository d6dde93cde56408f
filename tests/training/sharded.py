"""`firstrank train` with FSDP2 over processes on a CPU, which accelerate offers on accelerators only: `python -m … RECIPE`.

Everything below the choice of the device is what runs on GPUs: torch's `fully_shard`, accelerate's FSDP plugin, the Trainer, the export.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import yaml

from firstrank.reranker.config import config_dir

YAML = config_dir() / "training" / "accelerate" / "fsdp2.yaml"


def environment() -> dict[str, str]:
    """What `accelerate launch --config_file fsdp2.yaml` tells its processes, on a CPU and without mixed precision."""
    settings = yaml.safe_load(Path(YAML).read_text(encoding="utf-8"))["fsdp_config"]
    return {"ACCELERATE_USE_FSDP": "true", "ACCELERATE_TORCH_DEVICE": "cpu"} | {key.upper(): str(value) for key, value in settings.items()}


def on_cpu() -> None:
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)  # type: ignore[method-assign]  # no CUDA
    torch.distributed.init_process_group("gloo")
    barrier = torch.distributed.barrier
    torch.distributed.barrier = lambda *_, **__: barrier()  # gloo knows no device_ids


if __name__ == "__main__":
    from firstrank.training.config import Config
    from firstrank.training.run import train

    torch.set_num_threads(1)
    on_cpu()
    train(Config.model_validate(json.loads(sys.argv[1])))
