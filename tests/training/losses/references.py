"""Every ranking loss once more, slowly, from its paper's formula: one list at a time, plain Python floats, no tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Floats = Sequence[float]


def log1pexp(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def logsum(xs: Floats) -> float:
    most = max(xs)
    return most + math.log(sum(math.exp(x - most) for x in xs))


def rank_of(values: Floats) -> list[float]:
    """Ties share the mean of the places that they take up."""
    order = sorted(values, reverse=True)
    return [sum(place for place, other in enumerate(order, 1) if other == value) / order.count(value) for value in values]


def pairs(y: Floats) -> list[tuple[int, int]]:
    return [(i, j) for i in range(len(y)) for j in range(len(y)) if y[i] > y[j]]


def average(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def ranknet(s: Floats, y: Floats) -> float:
    return average([log1pexp(s[j] - s[i]) for i, j in pairs(y)])


def weighted_ranknet(s: Floats, y: Floats) -> float:
    r = rank_of(y)
    return average([log1pexp(s[j] - s[i]) / (r[i] + r[j]) for i, j in pairs(y)])


def lambdarank(s: Floats, y: Floats) -> float:
    r = rank_of(s)
    total = 0.0
    for i, j in pairs(y):
        gain = abs((2 ** y[i] - 1) - (2 ** y[j] - 1))
        discount = abs(1 / math.log2(1 + r[i]) - 1 / math.log2(1 + r[j]))
        total += gain * discount * log1pexp(s[j] - s[i])
    return total


def listnet(s: Floats, y: Floats) -> float:
    if not pairs(y):
        return 0.0
    return -sum(math.exp(b - logsum(y)) * (a - logsum(s)) for a, b in zip(s, y, strict=True))


def choice(s: Floats, y: Floats, i: int) -> float:
    """-log P(i is chosen among itself and all worse)."""
    return logsum([s[i], *(s[j] for j in range(len(s)) if y[j] < y[i])]) - s[i]


def listmle(s: Floats, y: Floats) -> float:
    return sum(choice(s, y, i) for i in range(len(s)))


def plistmle(s: Floats, y: Floats) -> float:
    alpha = [2 ** (len(s) - r) - 1 for r in rank_of(y)]
    return sum(a * choice(s, y, i) for i, a in enumerate(alpha)) / (sum(alpha) or 1.0)


def softmax(s: Floats, y: Floats) -> float:
    return average([choice(s, y, i) for i in range(len(s)) if y[i] == max(y)])


def soft_rank(s: Floats, i: int, t: float) -> float:
    return 1.0 + sum(sigmoid((s[j] - s[i]) / t) for j in range(len(s)) if j != i)


def approx_ndcg(s: Floats, y: Floats) -> float:
    gains = [2**grade - 1 for grade in y]
    ideal = sum(g / math.log2(1 + place) for place, g in enumerate(sorted(gains, reverse=True), 1))
    if ideal <= 0 or not pairs(y):
        return 0.0
    return 1.0 - sum(g / math.log2(1 + soft_rank(s, i, 1.0)) for i, g in enumerate(gains)) / ideal


def adr_mse(s: Floats, y: Floats) -> float:
    if not pairs(y):
        return 0.0
    r = rank_of(y)
    return average([(r[i] - soft_rank(s, i, 1.0)) ** 2 / math.log2(r[i] + 1) for i in range(len(s))])


def robust_softmax(s: Floats, y: Floats) -> float:
    """t log mean exp(.), as the maximum of the dual: checked through its definition at the maximising distribution."""
    terms = []
    for i in range(len(s)):
        rivals = [i, *(j for j in range(len(s)) if y[j] < y[i])]
        if len(rivals) == 1:
            continue
        violations = [s[j] - s[i] for j in rivals]
        p = [math.exp(v - logsum(violations)) for v in violations]
        divergence = sum(q * math.log(q * len(p)) for q in p if q > 0)
        terms.append(sum(q * v for q, v in zip(p, violations, strict=True)) - divergence)
    return average(terms)


def target_matrix(y: Floats) -> list[list[float]]:
    order = sorted(y, reverse=True)
    return [[(1.0 / order.count(grade) if order[place] == grade else 0.0) for grade in y] for place in range(len(y))]


def neuralsort(s: Floats, y: Floats) -> float:
    n, total = len(s), 0.0
    if not pairs(y):
        return 0.0
    spread = [sum(abs(a - b) for b in s) for a in s]
    for place, wanted in enumerate(target_matrix(y), 1):
        logits = [(n + 1 - 2 * place) * a - b for a, b in zip(s, spread, strict=True)]
        total -= sum(w * (logit - logsum(logits)) for w, logit in zip(wanted, logits, strict=True))
    return total / n


def odd_even_network(s: Floats, y: Floats) -> float:
    """The passages enter in the target's order, those that tie by their scores; a list of n has n layers."""
    entering = sorted(range(len(s)), key=lambda i: (-y[i], -s[i]))
    s, y = [s[i] for i in entering], [y[i] for i in entering]
    n = len(s)
    if not pairs(y):
        return 0.0
    found = [[1.0 if i == j else 0.0 for j in range(n)] for i in range(n)]
    values = list(s)
    for layer in range(n):
        for first in range(layer % 2, n - 1, 2):
            a, b = values[first], values[first + 1]
            stay = 0.5 + math.atan(a - b) / math.pi
            values[first], values[first + 1] = stay * a + (1 - stay) * b, (1 - stay) * a + stay * b
            upper, lower = found[first], found[first + 1]
            found[first] = [stay * p + (1 - stay) * q for p, q in zip(upper, lower, strict=True)]
            found[first + 1] = [(1 - stay) * p + stay * q for p, q in zip(upper, lower, strict=True)]
    wanted = target_matrix(y)
    return -sum(w * math.log(max(p, 1e-30)) for row, hit in zip(wanted, found, strict=True) for w, p in zip(row, hit, strict=True)) / n


def kl(s: Floats, y: Floats) -> float:
    if not pairs(y):
        return 0.0
    return sum(math.exp(b - logsum(y)) * ((b - logsum(y)) - (a - logsum(s))) for a, b in zip(s, y, strict=True))


def margin_mse(s: Floats, y: Floats) -> float:
    return average([((s[i] - s[j]) - (y[i] - y[j])) ** 2 for i, j in pairs(y)])


def fidelity(s: Floats, y: Floats) -> float:
    return average([1.0 - math.sqrt(max(sigmoid(s[i] - s[j]), 1e-12)) for i, j in pairs(y)])


def generalised_cross_entropy(s: Floats, y: Floats) -> float:
    return average([(1.0 - math.exp(-0.7 * choice(s, y, i))) / 0.7 for i in range(len(s)) if y[i] == max(y)])


def dice(s: Floats, y: Floats) -> float:
    if not pairs(y):
        return 0.0
    terms = []
    for a, grade in zip(s, y, strict=True):
        p, right = math.exp(a - logsum(s)), float(grade == max(y))
        terms.append(1.0 - (2 * p * right + 0.5) / (p + right + 0.5))
    return average(terms)


def wasserstein(lists: Sequence[tuple[Floats, Floats]]) -> float:
    """Of a batch's distributions: |mean difference|² + Tr(C_s + C_y - 2 (C_s^½ C_y C_s^½)^½), square roots by eigenvalues."""
    told = [(s, y) for s, y in lists if pairs(y)]
    if not told:
        return 0.0
    n = max(len(s) for s, _ in told)
    rows = []
    for s, y in told:
        order = sorted(range(len(y)), key=lambda i: (-y[i], -s[i]))
        rows.append([[math.exp(one[i] - logsum(one)) for i in order] + [0.0] * (n - len(y)) for one in (s, y)])
    found, wanted = (_gaussian(np.array([row[which] for row in rows])) for which in (0, 1))
    root = _root(found[1])
    trace = np.trace(found[1] + wanted[1] - 2.0 * _root(root @ wanted[1] @ root))
    return float(((found[0] - wanted[0]) ** 2).sum() + trace)


def _gaussian(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spread = rows - rows.mean(0)
    return rows.mean(0), spread.T @ spread / max(len(rows) - 1, 1)


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
