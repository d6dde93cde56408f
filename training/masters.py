"""AdamW for weights in bf16: each has a master in fp32 that takes the steps, for bf16 would lose most of a small one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw

_KEPT = ("master", "exp_avg", "exp_avg_sq")
"""fp32, whatever the weights are"""


class MasterAdamW(Optimizer):
    """torch's AdamW on fp32 masters; after each step the weights are the masters, rounded."""

    def __init__(self, params: Any, lr: float, betas: tuple[float, float], eps: float = 1e-8, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no closure's loss is returned
        for group in self.param_groups:
            moving = [one for one in group["params"] if one.grad is not None]
            states = [self._state(one) for one in moving]
            if not moving:
                continue
            masters = [state["master"] for state in states]
            adamw(
                masters,
                [one.grad.float() for one in moving],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                foreach=True,
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )
            for one, master in zip(moving, masters, strict=True):
                one.copy_(master)

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["master"] = parameter.detach().float().clone()
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(state["master"]), torch.zeros_like(state["master"])
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """torch would round what is loaded to the weights' type."""
        super().load_state_dict(state_dict)
        places = [place for group in state_dict["param_groups"] for place in group["params"]]
        parameters = [one for group in self.param_groups for one in group["params"]]
        for place, parameter in zip(places, parameters, strict=True):
            for name in _KEPT:
                if name in state_dict["state"].get(place, {}):
                    self.state[parameter][name] = state_dict["state"][place][name].to(parameter.device, torch.float32).clone()
