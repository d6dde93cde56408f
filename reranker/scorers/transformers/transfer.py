"""Numbers on their way to a device and back, without waiting for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def sent(device: torch.device | str, *lists: Sequence[int]) -> tuple[Tensor, ...]:
    """Lists of whole numbers as tensors on a device, by one copy that does not wait."""
    flat = torch.tensor([number for one in lists for number in one], dtype=torch.long)
    if torch.device(device).type == "cuda":
        flat = flat.pin_memory()
    parts: tuple[Tensor, ...] = flat.to(device, non_blocking=True).split([len(one) for one in lists])
    return parts


def fetched(found: Tensor) -> Callable[[], list[list[float]]]:
    """Starts one copy from a device; what it gives waits for that copy and for nothing that was begun later."""
    if found.device.type != "cuda":
        return found.tolist
    host = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
    host.copy_(found, non_blocking=True)
    done = torch.cuda.Event(blocking=True)
    done.record()

    def wait() -> list[list[float]]:
        done.synchronize()
        values: list[list[float]] = host.tolist()
        return values

    return wait
