"""Linear layers in fp8, for GPUs from NVIDIA's Ada and Hopper on: weights and activations in 8 bits with a scale a row, by torchao."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firstrank.reranker.errors import MachineError

if TYPE_CHECKING:
    import torch

_MULTIPLE = 16
"""of which a layer's sizes must be"""


def quantize_to_fp8(network: Any, device: torch.device, keep: tuple[Any, ...] = ()) -> None:
    """Puts fp8 in place of a network's linear layers, but for those to `keep` (its head). Raises MachineError where that cannot be."""
    import torch

    if torch.cuda.get_device_capability(device) < (8, 9):
        raise MachineError(f"--dtype fp8: {torch.cuda.get_device_name(device)} has no units for it; take bfloat16")
    convert, config = _torchao()
    kept = set(map(id, keep))

    def chosen(layer: Any, _: str) -> bool:
        fits = type(layer) is torch.nn.Linear and not (layer.in_features % _MULTIPLE or layer.out_features % _MULTIPLE)
        return fits and id(layer) not in kept

    convert(network, config, filter_fn=chosen)


def check_installed() -> None:
    """Raises MachineError without torchao: before weights are loaded."""
    _torchao()


def _torchao() -> tuple[Any, Any]:
    try:
        from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow, quantize_
    except ImportError as error:
        raise MachineError("--dtype fp8 needs torchao: pip install torchao") from error
    return quantize_, Float8DynamicActivationFloat8WeightConfig(granularity=PerRow())
