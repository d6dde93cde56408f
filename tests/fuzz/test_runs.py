"""Runs that are written come back, whatever their ids; what a file cannot hold is refused, and nothing is left behind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstrank.reranker.errors import InputError
from firstrank.reranker.runs.trec import Ranked, Run, read_run, write_run

ids = st.text(min_size=1, max_size=12)
scores = st.floats(width=32, allow_nan=False, allow_infinity=False)
ranked = st.tuples(ids, st.dictionaries(ids, scores, min_size=1, max_size=6))


@pytest.mark.parametrize("name", ["run.trec", "run.trec.gz"])
@settings(max_examples=60)
@given(queries=st.lists(ranked, min_size=1, max_size=4, unique_by=lambda one: one[0]))
def test_a_run_comes_back(name, tmp_path_factory, queries):
    folder = tmp_path_factory.mktemp("run")
    run = Run(
        [
            Ranked(qid, tuple(sorted(found, key=lambda docid: -found[docid])), np.array(sorted(found.values(), reverse=True), np.float32))
            for qid, found in queries
        ]
    )
    try:
        write_run(folder / name, run.values())
    except InputError:
        left = list(folder.iterdir())
    else:
        left = None
    if left is not None:
        assert left == []
        return
    again = read_run(folder / name)
    assert [one.docids for one in again.values()] == [one.docids for one in run.values()]
    assert list(again) == list(run)
    assert all((np.diff(one.scores) < 0).all() for one in again.values())


@given(numbers=st.lists(st.floats(), min_size=1, max_size=5))
def test_a_score_that_is_no_number_is_refused(tmp_path_factory, numbers):
    folder = tmp_path_factory.mktemp("run")
    values = np.array(sorted(numbers, reverse=True), np.float64)
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    run = [Ranked("q", tuple(map(str, range(len(numbers)))), single)]
    if np.isfinite(single).all() and (np.diff(single) <= 0).all():
        write_run(folder / "run.trec", run)
        return
    with pytest.raises(InputError):
        write_run(folder / "run.trec", run)
    assert list(folder.iterdir()) == []
