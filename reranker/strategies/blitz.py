"""A tournament graph and its transitive closure: never ask what already follows (arXiv 2602.05448)."""

from __future__ import annotations

from itertools import pairwise

from reranker.strategies.order import TOP, Run, Window, by_score, check_at_least, check_top_k, check_window, parts, size
from reranker.types import Outcome, Strategy, View, Windows


def blitz(window: Window = 20, k: int | None = None, top_k: int | None = None) -> Strategy:
    """Asks the window of best candidates whose order is open, adds all that follows from the answer, stops when k are certain.

    Certifies k places, any number up to all (`top_k`, else 10). A candidate with k better ones is out. Where answers
    contradict each other, those in the cycle share a tier, ordered by wins among themselves; a note tells of it.
    """
    check_window(window)
    check_at_least(1, k=k, top_k=top_k)

    def strategy(view: View) -> Run:
        wanted = min(k or top_k or TOP, view.n)
        check_top_k(top_k, wanted, view, f"k={top_k} would do")
        graph = _Graph(view.n)
        windows: Windows = [part for part in parts(range(view.n), size(window, view)) if len(part) > 1]
        while windows:
            for asked, scores in zip(windows, (yield windows), strict=True):
                graph.add(by_score(asked, scores))
            windows = graph.next_window(wanted, size(window, view))
        order, cycles = graph.order(), graph.cycles()
        certified = next((place for place, i in enumerate(order[:wanted]) if graph.mates(i)), wanted)
        notes = (f"blitz: {len(cycles)} cycles, of up to {max(map(len, cycles))} candidates, ordered by wins",) if cycles else ()
        return Outcome(order, certified, notes)

    return strategy


class _Graph:
    """Who is better than whom, transitively. A set of candidates is an int with a bit for each."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._above, self._below, self._beaten = [0] * n, [0] * n, [0] * n

    def add(self, ranked: list[int]) -> None:
        """One window's answer, best first."""
        behind = 0
        for i in reversed(ranked):
            self._beaten[i] |= behind
            behind |= 1 << i
        for better, worse in pairwise(ranked):
            if not self._below[better] >> worse & 1:
                self._link(better, worse)

    def next_window(self, k: int, most: int) -> Windows:
        """The window of the best candidates in the running that are not all ordered yet; none if they are."""
        rank = [self._better(i).bit_count() for i in range(self._n)]
        running = sum(1 << i for i in range(self._n) if rank[i] < k)
        unknown = [running & ~(self._above[i] | self._below[i] | 1 << i) if running >> i & 1 else 0 for i in range(self._n)]
        window: list[int] = []
        chosen = 0
        for i in sorted((i for i in range(self._n) if unknown[i]), key=lambda i: (rank[i], i)):
            if len(window) < most and (unknown[i] & chosen or not window):
                window.append(i)
                chosen |= 1 << i
        return [tuple(window)] if window else []

    def order(self) -> list[int]:
        """All candidates by how many are known to be better, then by how many are known to be worse."""
        return sorted(
            range(self._n),
            key=lambda i: (
                self._better(i).bit_count(),
                -(self._below[i] & ~self._above[i]).bit_count(),
                -(self._beaten[i] & self.mates(i)).bit_count(),
                i,
            ),
        )

    def cycles(self) -> set[tuple[int, ...]]:
        """The sets of two or more candidates that are each better than the other."""
        return {tuple(j for j in range(self._n) if self.mates(i) >> j & 1) for i in range(self._n) if self.mates(i)}

    def mates(self, i: int) -> int:
        """Those in a cycle with i, and i; 0 where i is in none."""
        return self._above[i] & self._below[i]

    def _better(self, i: int) -> int:
        return self._above[i] & ~self._below[i]

    def _link(self, better: int, worse: int) -> None:
        above = self._above[better] | 1 << better
        below = self._below[worse] | 1 << worse
        for i in range(self._n):
            if above >> i & 1:
                self._below[i] |= below
            if below >> i & 1:
                self._above[i] |= above
