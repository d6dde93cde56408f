"""Where the program `firstrank` begins (also `python -m firstrank`): Ctrl-C is in hand before anything else is imported."""

from __future__ import annotations

import sys

from firstrank.reranker.commands.interrupts import INTERRUPTED, interruptible
from firstrank.reranker.errors import Interrupted


def main() -> None:
    """The command line (`firstrank.reranker.cli.main`)."""
    if sys.argv[1:2] != ["serve"]:  # a server drains
        interruptible()
    try:
        from firstrank.reranker.cli import main as command_line

        command_line()
    except Interrupted:  # while importing: nothing has begun
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
