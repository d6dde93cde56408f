"""The adapter inside the real PyTerrier (make test-integrations)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstrank.reranker.errors import InputError
from firstrank.reranker.reranker import Reranker
from tests.reranker.integrations.candidates import QUERY

pytestmark = pytest.mark.integrations


@pytest.fixture(scope="module")
def bm25(data: Path) -> Any:
    """PyTerrier's own index is a jar that it downloads: BM25 in memory, as a transformer."""
    import pandas as pd
    import pyterrier as pt

    from firstrank.reranker.retrievers.bm25 import BM25
    from firstrank.reranker.runs.queries import Query
    from firstrank.reranker.texts.sources import read_passages

    passages = {passage.docid: passage for passage in read_passages(data / "cranfield")}
    index = BM25(passages.values())

    class InMemory(pt.Transformer):
        def transform(self, topics: Any) -> Any:
            pt.validate.query_frame(topics, extra_columns=["query"])
            columns = ["qid", "query", "docno", "text", "score", "rank"]
            found = index.search([Query(row.qid, row.query) for row in topics.itertuples()], 12)
            rows = [
                (row.qid, row.query, docid, passages[docid].text[:300], score, rank)
                for row, ranked in zip(topics.itertuples(), found, strict=True)
                for rank, (docid, score) in enumerate(zip(ranked.docids, ranked.scores.tolist(), strict=True))
            ]
            return pd.DataFrame(rows, columns=columns)

    return InMemory()


@pytest.fixture(scope="module")
def topics(data: Path) -> Any:
    import pandas as pd

    from firstrank.reranker.runs.queries import read_queries

    return pd.DataFrame([(query.qid, query.text) for query in read_queries(data / "cranfield")][:6], columns=["qid", "query"])


def test_an_experiment_with_its_time(bm25: Any, topics: Any, data: Path, reranker: Reranker) -> None:
    import pandas as pd
    import pyterrier as pt

    from firstrank.reranker.integrations.pyterrier import FirstRanker
    from firstrank.reranker.runs.qrels import read_qrels

    rows = [(qid, docid, grade) for qid, grades in read_qrels(data / "cranfield").items() for docid, grade in grades.items()]
    qrels = pd.DataFrame(rows, columns=["qid", "docno", "label"])
    pipeline = bm25 % 8 >> FirstRanker(reranker)
    table = pt.Experiment([bm25 % 8, pipeline], topics, qrels, ["ndcg_cut_10", "recall_10", "mrt"], names=["bm25", "first"])
    assert table["recall_10"].nunique() == 1  # the same candidates …
    assert table["ndcg_cut_10"].nunique() == 2  # … in another order
    assert (table["mrt"] > 0).all()
    assert table["mrt"][1] > table["mrt"][0]


def test_scores_and_ranks_are_those_of_the_reranker(bm25: Any, topics: Any, reranker: Reranker) -> None:
    from firstrank.reranker.integrations.pyterrier import FirstRanker

    first = bm25(topics)
    shuffled = first.sample(frac=1, random_state=0)
    for given in (first, shuffled, shuffled.drop(columns="rank")):
        found = FirstRanker(reranker)(given)
        assert set(found["qid"]) == set(topics["qid"])
        for qid, rows in found.groupby("qid"):
            candidates = first[first["qid"] == qid]
            expected = reranker.rank(candidates["query"].iloc[0], list(candidates["text"]), list(candidates["docno"]), qid=qid)
            assert list(rows["docno"]) == [result.docid for result in expected]
            assert list(rows["score"]) == [result.raw_score for result in expected]
            assert list(rows["rank"]) == list(range(len(rows)))
            assert (np.diff(rows["score"].to_numpy(np.float32)) < 0).all()


def test_titles_are_read_and_absent_texts_are_empty(reranker: Reranker) -> None:
    import pandas as pd

    from firstrank.reranker.integrations.pyterrier import FirstRanker
    from firstrank.reranker.types import Passage

    rows = pd.DataFrame({"qid": "1", "query": QUERY, "docno": list("abc"), "text": ["x", None, "z"], "title": ["T", "U", float("nan")]})
    expected = reranker.rank(QUERY, [Passage("a", "x", "T"), Passage("b", "", "U"), Passage("c", "z")], qid="1")
    assert list(FirstRanker(reranker)(rows)["score"]) == [result.raw_score for result in expected]


def test_bad_input(bm25: Any, topics: Any, reranker: Reranker) -> None:
    import pandas as pd
    import pyterrier as pt

    from firstrank.reranker.integrations.pyterrier import FirstRanker

    ranker = FirstRanker(reranker)
    first = bm25(topics)
    with pytest.raises(pt.validate.InputValidationError, match="text"):
        ranker(first.drop(columns="text"))
    with pytest.raises(InputError, match="two documents have the id"):
        ranker(pd.concat([first, first[:1]]))
    empty = ranker(first[:0])
    assert empty.empty
    assert {"qid", "query", "docno", "text", "score", "rank"} <= set(empty.columns)


@pytest.mark.parametrize("missing", [None, float("nan")])
@pytest.mark.parametrize("column", ["qid", "query", "docno"])
def test_a_missing_value_is_refused_not_dropped(column: str, missing: Any, reranker: Reranker) -> None:
    import pandas as pd

    from firstrank.reranker.integrations.pyterrier import FirstRanker

    rows = pd.DataFrame({"qid": ["1", "1"], "query": ["q", "q"], "docno": ["a", "b"], "text": ["x", "y"]}, index=[7, 7])
    assert list(FirstRanker(reranker).transform(rows)["docno"].sort_values()) == ["a", "b"]
    rows[column] = [rows[column].iloc[0], missing]
    with pytest.raises(InputError, match=f"the column '{column}' lacks a value in 1 rows"):
        FirstRanker(reranker).transform(rows)


def test_ids_that_pandas_turned_into_floats_are_named(reranker: Reranker) -> None:
    import pandas as pd

    from firstrank.reranker.integrations.pyterrier import FirstRanker

    rows = pd.DataFrame({"qid": [1.0, 1.0], "query": ["q", "q"], "docno": [1, 2], "text": ["x", "y"]})
    with pytest.raises(InputError, match="missing values turns whole numbers into these"):
        FirstRanker(reranker).transform(rows)
    assert len(FirstRanker(reranker).transform(rows.assign(qid=1))) == 2
