"""Relevance feedback: a ranking teaches the retriever, at query time, by a better query vector.

FIRST's third contribution (arXiv 2406.15657, after ReFIT, arXiv 2305.11744): what a reranker says of the first candidates is
distilled into the query's vector in a few gradient steps; a second search with it finds what the first one missed.

Pure functions over vectors: many queries are one batched problem, and each comes out as it would alone. Knows nothing of
models or files. A ranking that says nothing (fewer than two candidates, or all scores equal) leaves its query where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from firstrank.reranker.errors import InputError

if TYPE_CHECKING:
    import torch

Floats32 = NDArray[np.float32]
Objective = Literal["kl", "ranknet", "ridge", "rocchio"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)

_CHUNK = 32
"""queries optimised at once: their passages' vectors stay in the processor's cache through all steps"""


@dataclass(frozen=True, slots=True)
class Feedback:
    """How a query vector learns.

    `kl`: towards the softmax of the reranker's scores, rescaled to the spread of the retriever's own; `ranknet`: towards the
    reranker's order, pairs weighted by 1 / (i + j); `ridge`: least squares to the rescaled scores, in closed form; `rocchio`:
    towards the mean of the first passages, without a gradient (the baseline).
    """

    objective: Objective = "kl"
    steps: int = 20
    rate: float = 0.005
    """of Adam, in units of a vector of length 1"""
    sharpness: float = 1.0
    """kl: the standard deviation of the target's logits"""
    ridge: float = 0.1
    """how much staying in place counts against fitting one passage"""
    rocchio: float = 1.0
    """the weight of the mean of the first passages"""
    relevant: int = 3
    """rocchio: how many those are"""

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise InputError(f"objective {self.objective!r}: unknown; there are {', '.join(OBJECTIVES)}")
        for name in ("steps", "relevant"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}: must be at least 1")
        for name in ("rate", "sharpness", "ridge", "rocchio"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name} {getattr(self, name)}: must be a number above 0")


def distil(queries: Floats32, passages: Sequence[Floats32], scores: Sequence[Floats32], feedback: Feedback = Feedback()) -> Floats32:
    """Better query vectors, [queries, d], from the vectors of each query's candidates, [n, d], and their scores, [n].

    Lists may differ in length. Raises InputError for scores or vectors that are not finite, and for shapes that do not fit.
    """
    _check(queries, passages, scores)
    moved = np.array(queries, np.float32)
    told = [i for i, one in enumerate(scores) if len(one) > 1 and np.ptp(one) > 0]
    told.sort(key=lambda i: len(scores[i]))
    for start in range(0, len(told), _CHUNK):
        here = told[start : start + _CHUNK]
        moved[here] = _moved(queries[here], [passages[i] for i in here], [scores[i] for i in here], feedback)
    return moved


def _check(queries: Floats32, passages: Sequence[Floats32], scores: Sequence[Floats32]) -> None:
    if not len(queries) == len(passages) == len(scores):
        raise InputError(f"{len(queries)} queries, {len(passages)} lists of passages, {len(scores)} of scores: as many of each are needed")
    if not np.isfinite(queries).all():
        raise InputError("a query vector holds NaN or infinity")
    for place, (vectors, ranked) in enumerate(zip(passages, scores, strict=True)):
        if len(vectors) != len(ranked) or (len(vectors) and vectors.shape[1:] != queries.shape[1:]):
            raise InputError(
                f"query {place}: {len(ranked)} scores for passages of shape {vectors.shape}, and queries of {queries.shape[1:]}"
            )
        if not np.isfinite(ranked).all() or not np.isfinite(vectors).all():
            raise InputError(f"query {place}: a score or a passage's vector is NaN or infinite")


def _moved(queries: Floats32, passages: Sequence[Floats32], scores: Sequence[Floats32], feedback: Feedback) -> Floats32:
    import torch

    n = max(map(len, scores))
    problem = _Problem(
        torch.from_numpy(np.array(queries, np.float32)),
        torch.from_numpy(np.stack([np.pad(one, ((0, n - len(one)), (0, 0))) for one in passages])),
        torch.from_numpy(np.stack([np.pad(one.astype(np.float32), (0, n - len(one))) for one in scores])),
        torch.from_numpy(np.arange(n) < np.array([[len(one)] for one in scores])),
    )
    with torch.no_grad():
        solve = {"ridge": _ridge, "rocchio": _rocchio}.get(feedback.objective, _descend)
        moved: Floats32 = solve(problem, feedback).numpy()
    return moved


class _Problem:
    """A chunk of queries: vectors [b, d], passages [b, n, d], scores [b, n], and which of the n are there [b, n]."""

    def __init__(self, queries: torch.Tensor, passages: torch.Tensor, scores: torch.Tensor, there: torch.Tensor) -> None:
        self.queries, self.passages, self.scores, self.there = queries, passages, scores, there
        self.similarities = self.seen(queries)
        mean, self.spread = _moments(self.similarities, there)
        self.level = mean
        target_mean, target_spread = _moments(scores, there)
        self.target = (scores - target_mean) / target_spread
        """the reranker's scores with mean 0 and standard deviation 1"""

    def seen(self, queries: torch.Tensor) -> torch.Tensor:
        """Inner products with each query's passages."""
        import torch

        return torch.bmm(queries.unsqueeze(1), self.passages.transpose(1, 2)).squeeze(1)  # ten times as fast as passages x queries


def _moments(values: torch.Tensor, there: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each row's values that are there, [b, 1] each."""
    count = there.sum(1, keepdim=True)
    mean = (values * there).sum(1, keepdim=True) / count
    variance = ((values - mean).square() * there).sum(1, keepdim=True) / count
    return mean, variance.sqrt().clamp_min(1e-6)


def _descend(problem: _Problem, feedback: Feedback) -> torch.Tensor:
    """Adam on the query vectors; gradients by hand, for there are two matrix products a step and nothing else of weight."""
    import torch

    slope = _kl_slope(problem, feedback.sharpness) if feedback.objective == "kl" else _ranknet_slope(problem)
    queries = problem.queries.clone().requires_grad_()
    adam = torch.optim.Adam([queries], lr=feedback.rate, eps=1e-3)
    for _ in range(feedback.steps):
        logits = (problem.seen(queries) - problem.level) / problem.spread
        queries.grad = torch.bmm(slope(logits).unsqueeze(1), problem.passages).squeeze(1)
        adam.step()
    return queries.detach()


def _kl_slope(problem: _Problem, sharpness: float) -> Callable[[torch.Tensor], torch.Tensor]:
    import torch

    outside = torch.where(problem.there, 0.0, -torch.inf)
    target = torch.softmax(sharpness * problem.target + outside, 1)
    return lambda logits: torch.softmax(sharpness * logits + outside, 1) - target


def _ranknet_slope(problem: _Problem) -> Callable[[torch.Tensor], torch.Tensor]:
    """Weighted RankNet's slope: for i ranked above j, softplus(z_j - z_i) / (i + j); tied pairs say nothing."""
    import torch

    order = torch.argsort(torch.where(problem.there, problem.scores, -torch.inf), dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(1, order.shape[1] + 1).expand_as(order)).float()
    above = (problem.scores.unsqueeze(2) > problem.scores.unsqueeze(1)) & problem.there.unsqueeze(2) & problem.there.unsqueeze(1)
    weight = above / (rank.unsqueeze(2) + rank.unsqueeze(1))
    weight /= weight.sum((1, 2), keepdim=True)

    def slope(logits: torch.Tensor) -> torch.Tensor:
        push = weight * torch.sigmoid(logits.unsqueeze(1) - logits.unsqueeze(2))
        return push.sum(1) - push.sum(2)

    return slope


def _ridge(problem: _Problem, feedback: Feedback) -> torch.Tensor:
    """q + P' (P P' + ridge I)^-1 (t - P q): least squares that stay near q; t are the scores at the retriever's level and spread."""
    import torch

    passages = problem.passages
    wanted = (problem.level + problem.spread * problem.target - problem.similarities) * problem.there
    gram = torch.bmm(passages, passages.transpose(1, 2)) + feedback.ridge * torch.eye(passages.shape[1])
    shift = torch.linalg.solve(gram, wanted.unsqueeze(2)).transpose(1, 2)
    return problem.queries + torch.bmm(shift, passages).squeeze(1)


def _rocchio(problem: _Problem, feedback: Feedback) -> torch.Tensor:
    """q + weight x the mean of the passages ranked first."""
    import torch

    scores = torch.where(problem.there, problem.scores, -torch.inf)
    top = scores.topk(min(feedback.relevant, scores.shape[1]), 1)
    counted = top.values.isfinite().float()
    chosen = problem.passages.gather(1, top.indices.unsqueeze(2).expand(-1, -1, problem.passages.shape[2]))
    mean = (chosen * counted.unsqueeze(2)).sum(1) / counted.sum(1, keepdim=True)
    return problem.queries + feedback.rocchio * mean
