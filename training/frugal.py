"""FRUGAL: all weights move, but only a share of them keeps an optimiser's state at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw


class Frugal(Optimizer):
    """AdamW for some tensors, signSGD without any state for the others; which is which is drawn anew every `gap` steps.

    About `density` of the weights have a state. What is drawn depends on the step alone, so a resumed run draws the same; a tensor that is
    drawn again begins with an empty state. Zmushko et al., FRUGAL: Memory-Efficient Optimization by Reducing State Overhead for Scalable
    Training, ICML 2025, arXiv 2411.07837 (its blockwise form).
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        density: float = 0.25,
        gap: int = 200,
        seed: int = 0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "taken": 0})
        self._density, self._gap, self._seed = density, gap, seed

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no closure's loss is returned
        taken = self.param_groups[0]["taken"]
        kept = self.drawn(taken)
        for group in self.param_groups:
            group["taken"] = taken + 1
            moving = [one for one in group["params"] if one.grad is not None]
            self._with_state([one for one in moving if id(one) in kept], group)
            for one in moving:
                if id(one) not in kept:
                    self.state.pop(one, None)
                    one.mul_(1.0 - group["lr"] * group["weight_decay"]).add_(one.grad.sign(), alpha=-group["lr"])

    def drawn(self, taken: int) -> set[int]:
        """The ids of the tensors that have a state after so many steps: by chance, until they hold the share."""
        every = [one for group in self.param_groups for one in group["params"]]
        rng = np.random.default_rng((self._seed, 3, taken // self._gap))
        room, kept = self._density * sum(one.numel() for one in every), set[int]()
        for place in rng.permutation(len(every)).tolist():
            if room <= 0:
                break
            kept.add(id(every[place]))
            room -= every[place].numel()
        return kept

    def _with_state(self, moving: list[Tensor], group: dict[str, Any]) -> None:
        states = [self._state(one) for one in moving]
        if not moving:
            return
        slopes = [one.grad for one in moving if one.grad is not None]
        averages = [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states]
        beta1, beta2 = group["betas"]
        adamw(
            moving,
            slopes,
            *averages,
            [],
            [state["step"] for state in states],
            foreach=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state
