"""Where the program `firstrank` begins (also `python -m firstrank`): signals are in hand before anything else is imported."""

from __future__ import annotations

import sys

from firstrank.reranker.commands.interrupts import exit_code, interruptible
from firstrank.reranker.errors import Interrupted


def main() -> None:
    """The command line (`firstrank.reranker.cli.main`)."""
    if sys.argv[1:2] != ["serve"]:  # a server drains
        interruptible()
    try:
        from firstrank.reranker.cli import main as command_line

        command_line()
    except Interrupted:  # while importing: nothing has begun
        sys.exit(exit_code())


if __name__ == "__main__":
    main()
