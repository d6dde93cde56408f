"""A system that counts from its argument on: what `benchmarks.peers.child` starts in the tests."""

from __future__ import annotations

import itertools
import sys

from benchmarks.peers.child import Rank, Round, serve


def loaded() -> Rank:
    print("what a library prints")
    numbers = itertools.count(int(sys.argv[1]))
    return lambda start, stop: Round(0.1, next(numbers), stop - start, {"q": ["b", "a"]})


if __name__ == "__main__":
    serve(loaded)
