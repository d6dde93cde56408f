"""Every error that Firstrank raises on purpose.

::

    FirstrankError                 exit code 1
    ├── InputError                 exit code 2: the user can mend it (a file, an option, a request)
    │   ├── FormatError            a malformed line: names file and line
    │   ├── MissingExtra           an optional package is not installed: names the `pip install`
    │   ├── PassageCut             a passage would be cut, and is wanted whole
    │   └── ModelError             a model that cannot be found, read or used for ranking
    ├── RequestFailed              one request could not be ranked; its neighbours are unharmed
    │   ├── Overloaded             the queue is full: try again later
    │   └── DeadlineExceeded       the request's time ran out
    ├── ScorerError                a window could not be scored
    │   ├── TransientError         … this time: the executor tries again
    │   └── EngineLost             … nor any other: the engine is gone, make a fresh scorer
    └── MachineError               a fault of the machine: disk full, folder not writable

A message says what, where (file, line, field) and what to do.
"""

from __future__ import annotations

from pathlib import Path


class FirstrankError(Exception):
    """Root of the tree; `exit_code` is what the command line ends with."""

    exit_code = 1


class InputError(FirstrankError):
    """Something that the user gave is wrong, and the message says how to mend it."""

    exit_code = 2


class FormatError(InputError):
    """A malformed line in a file."""

    def __init__(self, path: str | Path, line: int, problem: str) -> None:
        super().__init__(f"{path}:{line}: {problem}")
        self.path, self.line, self.problem = str(path), line, problem


class MissingExtra(InputError):
    """An optional package is missing."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}: pip install 'firstrank[{extra}]'")
        self.package, self.extra = package, extra


class PassageCut(InputError):
    """A passage would be cut, and is wanted whole."""


class ModelError(InputError):
    """A model that cannot be found, read or used for ranking."""


class RequestFailed(FirstrankError):
    """One request could not be ranked."""


class Overloaded(RequestFailed):
    """The queue is full."""


class DeadlineExceeded(RequestFailed):
    """The request's time ran out."""


class ScorerError(FirstrankError):
    """A window could not be scored."""


class TransientError(ScorerError):
    """A window could not be scored this time; trying again may help."""


class EngineLost(ScorerError):
    """The engine behind a scorer is gone; no window of it will be scored again."""


class MachineError(FirstrankError):
    """A fault of the machine, not of the input."""


class Interrupted(BaseException):
    """The user pressed Ctrl-C, or SIGTERM or SIGHUP came: no error, and nothing that a handler of errors should hold up."""
