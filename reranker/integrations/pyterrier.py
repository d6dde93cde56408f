"""A reranking transformer for PyTerrier.

>>> pipeline = bm25 % 100 >> FirstRanker("default")
>>> pt.Experiment([bm25, pipeline], topics, qrels, ["ndcg_cut_10", "mrt"])
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyterrier as pt

from firstrank.reranker.errors import InputError
from firstrank.reranker.integrations.shared import reranker_of
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.runs.documents import id_of, is_missing, request_of
from firstrank.reranker.types import Passage, Request

_NEEDED = ["qid", "query", "docno", "text"]


class FirstRanker(pt.Transformer):
    """Reranks each query's rows, all queries at once; a column `title` is read too. `options` are the Reranker's.

    The first stage's order is that of `rank`, else of `score`, else of the rows. Scores are those of `firstrank rerank`.
    """

    def __init__(self, model: str | Reranker = "default", **options: Any) -> None:
        super().__init__()
        self.reranker = reranker_of(model, options)

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """The rows of `inp` in their new order, with `score` and `rank` (from 0).

        Raises pt.validate.InputValidationError for columns that lack, InputError for a docno that a query has twice, and for a qid,
        query or docno that is missing.
        """
        pt.validate.columns(inp, includes=_NEEDED, context=self)
        if inp.empty:
            return inp.assign(score=pd.Series(dtype=float), rank=pd.Series(dtype=int))
        for column in ("qid", "query", "docno"):
            if inp[column].isna().any():
                raise InputError(f"the column {column!r} lacks a value in {int(inp[column].isna().sum())} rows: drop them (dropna) before")
        groups = [_in_order(rows) for _, rows in inp.groupby("qid", sort=False)]
        rankings = self.reranker.rank_many(map(_request, groups))
        return pd.concat(
            [
                rows.iloc[[result.index for result in ranking]].assign(
                    score=[result.raw_score for result in ranking], rank=range(len(ranking))
                )
                for rows, ranking in zip(groups, rankings, strict=True)
            ],
            ignore_index=True,
        )


def _in_order(rows: pd.DataFrame) -> pd.DataFrame:
    if "rank" in rows:
        return rows.sort_values("rank", kind="stable")
    return rows.sort_values("score", ascending=False, kind="stable") if "score" in rows else rows


def _request(rows: pd.DataFrame) -> Request:
    return request_of(rows["query"].iloc[0], _passages(rows), qid=rows["qid"].iloc[0])


def _passages(rows: pd.DataFrame) -> Iterator[Passage]:
    titles = rows["title"] if "title" in rows else [""] * len(rows)
    for docno, text, title in zip(rows["docno"], rows["text"], titles, strict=True):
        yield Passage(id_of(docno, "a docno"), _string(text), _string(title))


def _string(value: Any) -> str:
    """A cell's text; an absent value is an empty one."""
    return "" if is_missing(value) else str(value)
