"""A system that counts from its argument on: what `benchmarks.peers.child` starts in the tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count

from benchmarks.peers.child import Round, serve


def loaded() -> Callable[[], Round]:
    print("what a library prints")
    numbers = count(int(sys.argv[1]))
    return lambda: Round(0.1, next(numbers), 10, {"q": ["b", "a"]})


if __name__ == "__main__":
    serve(loaded)
