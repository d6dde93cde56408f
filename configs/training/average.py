"""python average.py ADAPTER ADAPTER … OUTPUT: the mean of adapters' weights (Wortsman et al., ICML 2022).

The configuration is the first one's. The adapters are folders, of one run or one going on from another, so that their weights lie near
together. OUTPUT appears whole or not at all.
"""

import shutil
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

WEIGHTS = "adapter_model.safetensors"


def main(adapters: list[Path], output: Path) -> None:
    if output.exists():
        sys.exit(f"{output}: there already; give a folder to make")
    read = [load_file(adapter / WEIGHTS) for adapter in adapters]
    if any(weights.keys() != read[0].keys() for weights in read):
        sys.exit(f"{', '.join(map(str, adapters))}: not adapters of the same layers and modules")
    mean = {name: torch.stack([weights[name].float() for weights in read]).mean(0).to(read[0][name].dtype) for name in read[0]}
    with safe_open(adapters[0] / WEIGHTS, "pt") as file:
        metadata = file.metadata()
    part = output.with_name(f"{output.name}.part")
    part.mkdir(parents=True)
    shutil.copy(adapters[0] / "adapter_config.json", part)
    save_file(mean, part / WEIGHTS, metadata)
    part.replace(output)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main([Path(name) for name in sys.argv[1:-1]], Path(sys.argv[-1]))
