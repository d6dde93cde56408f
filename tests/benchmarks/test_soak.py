"""Two minutes of the soak: `make test-soak`. An hour is `make soak`."""

from __future__ import annotations

import json

import pytest

from benchmarks import soak


@pytest.mark.soak
def test_two_minutes_of_mixed_load_leave_nothing_behind(capsys):
    code = soak.main(["--seconds", "120"])
    found = json.loads(capsys.readouterr().out)
    assert (code, found["faults"]) == (0, []), found
    assert found["requests"] > 50
    assert found["reloads"] > 10
    kinds = {answer.partition(":")[0] for answer in found["answers"]}
    assert kinds == set(soak.KINDS), found["answers"]


def test_what_a_service_must_not_do_is_said():
    good = {
        "memory_mb_by_quarters": [400, 500, 510, 520],
        "files": [40, 50],
        "threads": [20, 21],
        "left_inside": 0,
        "errors_in_the_log": [],
        "answers": {"small: 200": 9, "second: 503": 2, "wrong: 422": 3, "leaves: left": 1},
    }
    assert soak.faults(good) == []
    bad = {
        "memory_mb_by_quarters": [400, 500, 510, 551],
        "files": [40, 57],
        "threads": [20, 29],
        "left_inside": 1,
        "errors_in_the_log": ["one", "another"],
        "answers": {"small: 500": 1, "large: unanswered (ReadError)": 1, "second: 503": 2},
    }
    for name, value in bad.items():
        assert len(soak.faults(good | {name: value})) == 1, name
    assert "'small: 500': 1, 'large: unanswered (ReadError)': 1}" in soak.faults(good | bad)[3]
