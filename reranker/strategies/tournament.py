"""m-ary tournament sort: groups are ranked once, their heads are merged (arXiv 2310.09497, 2402.15838)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from firstrank.reranker.strategies.windows import (
    TOP,
    Asking,
    Steps,
    WindowSize,
    by_score,
    check_at_least,
    check_top_k,
    check_window,
    parts,
    size,
    together,
)
from firstrank.reranker.types import Outcome, Strategy, View


def tournament(window: WindowSize = 20, k: int | None = None, top_k: int | None = None) -> Strategy:
    """Ranks groups of `window` candidates in parallel, then merges the groups' heads up a tree until the best k are known.

    Certifies k places, any number up to all (`top_k`, else 10). A group is ranked once, a match is asked only when a place
    depends on it, and candidates that cannot reach the best k any more drop out.
    """
    check_window(window)
    check_at_least(1, k=k, top_k=top_k)

    def strategy(view: View) -> Steps:
        most = size(window, view)
        wanted = min(k or top_k or TOP, view.n)
        check_top_k(top_k, wanted, view, f"k={top_k} would do")
        groups = [_Group(part) for part in parts(range(view.n), most)]
        if not groups:
            return Outcome((), 0)
        root = _tree(groups, most)
        yield from root.supply(wanted)
        place = {i: place for group in groups for place, i in enumerate(group.best)}
        left = sorted(set(range(view.n)) - {*root.best, *root.waiting}, key=lambda i: (place[i], i))
        return Outcome([*root.best, *root.waiting, *left], len(root.best))

    return strategy


class _Group:
    """A leaf: candidates that one window ranks."""

    def __init__(self, candidates: tuple[int, ...]) -> None:
        self.size: int = len(candidates)
        self.best: list[int] = list(candidates) if self.size == 1 else []
        self.waiting: list[int] = []
        self._candidates = candidates

    def supply(self, count: int) -> Asking[None]:
        if count and not self.best:
            [scores] = yield [self._candidates]
            self.best = by_score(self._candidates, scores)


class _Match:
    """An inner node: `best` are its leading candidates as far as they are certain, `waiting` those that its last window put behind."""

    def __init__(self, children: Sequence[_Node], window: int) -> None:
        self.size: int = sum(child.size for child in children)
        self.best: list[int] = []
        self.waiting: list[int] = []
        self._window = window
        self._children = children

    def supply(self, count: int) -> Asking[None]:
        """Makes `best` at least `count` long, or as long as there are candidates."""
        while (need := min(count, self.size) - len(self.best)) > 0:
            left = [child.size - len({*child.best} & {*self.best}) for child in self._children]
            share = min(need, self._window // sum(map(bool, left)))
            wanted = [child.size - max(rest - share, 0) for child, rest in zip(self._children, left, strict=True)]
            yield from together(*(child.supply(upto) for child, upto in zip(self._children, wanted, strict=True)))
            out = {*self.best, *self.waiting[need:]}  # whoever has `need` better ones cannot reach the places that are asked
            heads = [[i for i in child.best if i not in {*self.best}][:share] for child in self._children]
            yield from self._play([[i for i in head if i not in out] for head in heads], [rest > share for rest in left], need)

    def _play(self, heads: list[list[int]], more: list[bool], need: int) -> Asking[None]:
        """Merges the children's heads. Places are certain up to where a child that has more has shown all it sent."""
        ranked = [i for head in heads for i in head]
        if sum(map(bool, heads)) > 1:
            [scores] = yield [tuple(ranked)]
            ranked = by_score(ranked, scores)
        place = {i: place for place, i in enumerate(ranked, 1)}
        certain = min([need, *(max(place[i] for i in head) for head, has_more in zip(heads, more, strict=True) if head and has_more)])
        self.best += ranked[:certain]
        self.waiting = ranked[certain:]


_Node = _Group | _Match


def _tree(nodes: Sequence[_Node], window: int) -> _Node:
    """Matches over matches, each of about as many children as each child may send candidates."""
    arity = max(2, math.isqrt(window - 1) + 1)
    while len(nodes) > 1:
        joined = parts(range(len(nodes)), arity)
        nodes = [_Match([nodes[i] for i in part], window) if len(part) > 1 else nodes[part[0]] for part in joined]
    return nodes[0]
