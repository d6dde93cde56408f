"""A batch that is ended at any moment, by kill -9 or by a signal: the same command finishes it, with the same bytes."""

from __future__ import annotations

import json
import random
import signal

import pytest

KILLS = 50


def whole_run(batch, forks, count: int, seed: int) -> tuple[bytes, list[int]]:
    """The bytes of a run that nothing ends, and calls at which to end one.

    They are all over the run, as many while its journal is there, and as many in the last tenth of that, where it writes.
    """
    done = forks.run(*batch.arguments(), watched=batch.file("out.trec.part.jsonl"))
    assert done.code == 0, done.said
    content = batch.output.read_bytes()
    batch.output.unlink()
    draw, (first, last) = random.Random(seed), done.there
    spans = [(1, done.calls), (first, last), (last - (last - first) // 10, last)]
    return content, [draw.randint(*spans[place % 3]) for place in range(count)]


def test_fifty_kills_and_each_is_resumed_with_the_same_bytes(batch, forks, tells):
    whole, moments = whole_run(batch, forks, KILLS, seed=34)
    journal = batch.file("out.trec.part.jsonl")
    kept, slowest = [], 0.0
    for at in moments:
        killed = forks.run(*batch.arguments(), at=at)
        assert killed.code in (-signal.SIGKILL, 0), killed.said  # 0: threads took fewer calls this time
        assert not batch.output.exists() or batch.output.read_bytes() == whole
        lines = journal.read_bytes().splitlines(keepends=True)[1:] if journal.exists() else []
        finished = sum(line.endswith(b"\n") for line in lines)
        again = forks.run(*batch.arguments(json=True))
        assert again.code == 0, again.said
        found = json.loads(again.said[again.said.index("{") :])
        assert (found["resumed"], found["ranked"]) == (finished, batch.QUERIES - finished)
        assert batch.output.read_bytes() == whole
        assert batch.left() == ["out.trec"]
        kept.append(finished)
        slowest = max(slowest, again.seconds)
        batch.output.unlink()
    assert {0, batch.QUERIES} < set(kept), kept  # before the first query, while ranking, and while writing
    tells(KILLS, seconds=slowest)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_at_any_moment_is_a_sentence_and_the_same_command_goes_on(batch, forks, tells, number):
    whole, moments = whole_run(batch, forks, 10, seed=number)
    ended, slowest = 0, 0.0
    for at in moments:
        done = forks.run(*batch.arguments(), at=at, number=number)
        assert "Traceback" not in done.said
        if done.code == 128 + number:
            ended += 1
            assert done.said.endswith(f"ended by {number.name}: run the same command to go on\n")
            assert set(batch.left()) <= {"out.trec.part.jsonl", "out.trec"}
        else:  # before Python was told of signals, or when all was done
            assert done.code in (0, -number), done
        again = forks.run(*batch.arguments())
        assert again.code == 0, again.said
        assert batch.output.read_bytes() == whole
        assert batch.left() == ["out.trec"]
        slowest = max(slowest, again.seconds)
        batch.output.unlink()
    assert ended > 5
    tells(10, seconds=slowest)
