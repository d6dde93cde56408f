"""A tournament graph and its transitive closure: never ask what already follows (arXiv 2602.05448)."""

from __future__ import annotations

from collections.abc import Iterator

from firstrank.reranker.strategies.windows import TOP, Steps, WindowSize, by_score, check_at_least, check_top_k, check_window, parts, size
from firstrank.reranker.types import Outcome, Strategy, View, Windows


def blitz(window: WindowSize = 20, k: int | None = None, top_k: int | None = None) -> Strategy:
    """Asks the window of best candidates whose order is open, adds all that follows from the answer, stops when k are certain.

    Certifies k places, any number up to all (`top_k`, else 10). A candidate with k better ones is out. Where answers
    contradict each other, those in the cycle share a tier, ordered by wins among themselves; a note tells of it.
    """
    check_window(window)
    check_at_least(1, k=k, top_k=top_k)

    def strategy(view: View) -> Steps:
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
        below = [*_gains(ranked, self._below, self._above)]
        above = [*_gains(ranked[::-1], self._above, self._below)]
        for closure, gains in ((self._below, below), (self._above, above)):
            for i, gain in gains:
                closure[i] |= gain

    def next_window(self, k: int, most: int) -> Windows:
        """The window of the best candidates in the running that are not all ordered yet; none if they are."""
        rank = self._ranks()
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
        rank = self._ranks()
        worse = [(below & ~above).bit_count() for above, below in zip(self._above, self._below, strict=True)]
        return sorted(range(self._n), key=lambda i: (rank[i], -worse[i], -(self._beaten[i] & self.mates(i)).bit_count(), i))

    def cycles(self) -> set[tuple[int, ...]]:
        """The sets of two or more candidates that are each better than the other."""
        return {tuple(j for j in range(self._n) if self.mates(i) >> j & 1) for i in range(self._n) if self.mates(i)}

    def mates(self, i: int) -> int:
        """Those in a cycle with i, and i; 0 where i is in none."""
        return self._above[i] & self._below[i]

    def _ranks(self) -> list[int]:
        """How many are better than each, those in a cycle with it left out."""
        return [(above & ~below).bit_count() for above, below in zip(self._above, self._below, strict=True)]


def _gains(chain: list[int], ahead: list[int], back: list[int]) -> Iterator[tuple[int, int]]:
    """What a chain adds to the closure `ahead` (with `back`, its reverse): candidates, and those that now lie ahead of them.

    Whoever leads to a member leads to all that the members from there on lead to. Where one of these leads back to an earlier
    member, the two are in a cycle and lead to the same.
    """
    behind = [0]
    for i in reversed(chain):
        behind.append(behind[-1] | ahead[i] | 1 << i)
    reach = behind[:0:-1]
    done = members = 0
    for j, i in enumerate(chain):
        first = next(earlier for earlier in range(j) if reach[j] >> chain[earlier] & 1) if reach[j] & members else j
        reach[j] = reach[first]
        members |= 1 << i
        if not done >> i & 1:
            yield i, reach[j] if first < j else behind[-j - 2] | ahead[i]
        leading = back[i] & ~(done | 1 << i)
        done |= leading | 1 << i
        while leading:
            last = leading.bit_length() - 1
            yield last, reach[j]
            leading ^= 1 << last
