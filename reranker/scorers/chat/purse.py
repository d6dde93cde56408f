"""What a hosted model costs: prices, what was spent, and a ceiling that holds with many windows in flight."""

from __future__ import annotations

from dataclasses import dataclass

from firstrank.reranker.errors import InputError, ScorerError
from firstrank.reranker.models.spec import Prices

_MILLION = 1_000_000


class CeilingReached(ScorerError):
    """What may be spent does not pay for another answer."""


@dataclass(slots=True)
class Purse:
    """US dollars. What a window may cost at most is set aside before it is sent, and settled by what the host counted."""

    prices: Prices | None
    most: float | None
    spent: float = 0.0
    aside: float = 0.0

    def __post_init__(self) -> None:
        if self.most is not None and self.prices is None:
            raise InputError(
                "--max-cost: the model's YAML has no prices: write `prices: {input: …, output: …}`, in US dollars per million tokens"
            )
        if self.most is not None and not 0 < self.most < float("inf"):
            raise InputError(f"--max-cost {self.most}: must be a sum in US dollars above 0")

    def price(self, read: int, written: int) -> float:
        return 0.0 if self.prices is None else (read * self.prices.input + written * self.prices.output) / _MILLION

    def set_aside(self, read: int, written: int) -> float:
        """What so many tokens cost, kept back. Raises CeilingReached where the ceiling does not leave it."""
        sum_ = self.price(read, written)
        if self.most is not None and self.spent + self.aside + sum_ > self.most:
            kept = f"{self.spent:.4f} US dollars are spent, {self.aside:.4f} set aside for what is in flight"
            raise CeilingReached(
                f"--max-cost {self.most:g}: {kept}; the next may cost {sum_:.4f}: raise the ceiling, or ask for fewer queries"
            )
        self.aside += sum_
        return sum_

    def settle(self, aside: float, read: int, written: int) -> float:
        """What a window cost, of which `aside` was kept back."""
        cost = self.price(read, written)
        self.aside -= aside
        self.spent += cost
        return cost

    def give_back(self, aside: float) -> None:
        """Of a window that was not answered."""
        self.aside -= aside
