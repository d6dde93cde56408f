"""How near two orders of the same passages are."""

from __future__ import annotations

from collections.abc import Sequence

from scipy import stats


def tau(one: Sequence[str], other: Sequence[str]) -> float:
    """Kendall's tau of two orders of the same docids, at least two."""
    place = {docid: i for i, docid in enumerate(other)}
    return float(stats.kendalltau(range(len(one)), [place[docid] for docid in one]).statistic)
