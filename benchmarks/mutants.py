"""Mutation testing of the modules where a wrong sign would be quiet: does a test fail when an operator, a number or a condition is changed?

    python -m benchmarks.mutants [MODULE …] [--sample 40] [--seed 0] [--output benchmarks/results/mutants.json] [--again]

Of each module (by default all of `GROUPS`) all mutants are tried, or a `--sample` of so many, drawn with a seed. Each is tried in a
process of its own, forked once the tests have been collected and run on the module as it is. It runs the tests that enter the changed
function, the quickest and deadliest first, up to the first that fails; Hypothesis keeps no examples and shrinks none. One that uses up
its seconds, or that would change files outside of a temporary folder, counts as killed. Prints each survivor, with its reason from
`survivors.yaml`, and a line for each module; `--output` renews the modules' entries in a file. With `--again`, of a module that has not
changed since, only those are tried that survived by that file and have no reason. Exit code 1 where a survivor has no reason.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import inspect
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import pytest
import yaml

from benchmarks.arguments import parser_of
from benchmarks.guard import stay_within
from benchmarks.mutations import Mutant, marked, mutants

ROOT = Path(__file__).parents[1]
REASONS = Path(__file__).parent / "survivors.yaml"


class Group(NamedTuple):
    """Modules, and where their tests are."""

    modules: str
    tests: tuple[str, ...]

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(self.modules))


GROUPS = {
    "losses": Group("training/losses/*.py", ("tests/training/losses",)),
    "alignment": Group("reranker/alignment.py", ("tests/reranker/test_alignment.py",)),
    "runs": Group("reranker/runs/*.py", ("tests/reranker/runs", "tests/fuzz/test_runs.py", "tests/fuzz/test_nasty.py")),
    "strategies": Group("reranker/strategies/*.py", ("tests/reranker/strategies", "tests/fuzz/test_strategies.py")),
    "prompt": Group("reranker/prompt/*.py", ("tests/reranker/prompt",)),
}
_KILLED, _SURVIVED = 254, 255
"""exit statuses of a mutant's process; those below are the places of tests"""
_MEMORY = 8 << 30

Entry = dict[str, Any]
"""what the output holds of a module"""
COUNTED = ("mutants", "drawn", "killed")


class Subject(NamedTuple):
    """A module, its tree, how many mutants it has, which are tried, and which are known to survive."""

    name: str
    module: ModuleType
    tree: ast.Module
    source: str
    """tells its text from any other"""
    count: int
    tried: list[Mutant]
    known: list[Mutant]
    drawn: int

    @classmethod
    def of(cls, name: str, sample: int | None, seed: int, before: Entry, reasons: Mapping[str, str]) -> Subject:
        """What is tried of a module: where its entry is still of the same text, only what survived in it and has no reason."""
        module = importlib.import_module("firstrank." + name.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        text = (ROOT / name).read_text(encoding="utf-8")
        tree, source = ast.parse(text), hashlib.sha256(text.encode()).hexdigest()[:12]
        found = list(mutants(tree))
        drawn = found if sample is None or sample >= len(found) else random.Random(seed).sample(found, sample)
        tried, known = drawn, list[Mutant]()
        if (before.get("source"), before.get("drawn")) == (source, len(drawn)):
            survived = {one["change"] for one in before["survivors"]}
            tried = [one for one in drawn if one.words in survived and one.words not in reasons]
            known = [one for one in drawn if one.words in survived and one.words in reasons]
        return cls(name, module, tree, source, len(found), tried, known, len(drawn))


class Case(NamedTuple):
    """A test, the seconds that it took on the modules as they are, and the functions that it entered."""

    item: pytest.Item
    seconds: float
    entered: frozenset[str]


class Mutating:
    """A plugin that runs the collected tests on modules as they are, then on each of their mutants, and tells what survived."""

    def __init__(self, subjects: Sequence[Subject], tell: Callable[[Subject, list[Mutant]], None]) -> None:
        self.subjects = subjects
        self.failed: list[str] | None = None
        """tests that fail on the modules as they are; None before they have been run"""
        self._tell = tell
        self._entered: set[str] = set()
        self._prepared: set[str] = set()
        self._kills: Counter[pytest.Item] = Counter()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        from hypothesis import Phase, settings

        settings.register_profile("mutants", database=None, phases=[Phase.explicit, Phase.generate], print_blob=False)
        settings.load_profile("mutants")

    def pytest_runtest_call(self) -> None:
        self._prepared |= self._entered

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failed is not None:
            self.failed.append(report.nodeid)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            return True
        for subject in self.subjects:
            vars(subject.module)["_entered"] = self._entered.add
            _patch(subject.module, marked(subject.tree, "_entered", subject.name))
        self.failed = []
        following: list[pytest.Item | pytest.Session] = [*session.items[1:], session]
        cases = [self._tried(item, after) for item, after in zip(session.items, following, strict=True)]
        for subject in () if self.failed else self.subjects:
            self._tell(subject, [one for one in subject.tried if self._survives(subject, one, session, cases)])
        return True

    def _tried(self, item: pytest.Item, after: pytest.Item | pytest.Session) -> Case:
        """What is made once a session stays for the mutants: after the last test comes the session."""
        self._entered.clear()
        seconds = self._run(item, after)
        return Case(item, seconds, frozenset(self._entered))

    def _run(self, item: pytest.Item, after: pytest.Item | pytest.Session) -> float:
        """Seconds of CPU that a test takes."""
        for subject in self.subjects:
            _forget(subject.module)
        _forget(item.module)  # type: ignore[attr-defined]  # all that are collected are functions
        start = time.process_time()
        item.ihook.pytest_runtest_protocol(item=item, nextitem=after)
        return time.process_time() - start

    def _survives(self, subject: Subject, mutant: Mutant, session: pytest.Session, cases: Sequence[Case]) -> bool:
        """Whether the tests pass, in a child of this process. Where a fixture enters the function, any test may need it."""
        function = f"{subject.name}:{mutant.function}"
        entering = (one for one in cases if function in {*one.entered, *self._prepared})
        chosen = sorted(entering, key=lambda one: one.seconds / (1 + self._kills[one.item]))

        def first_failing() -> int | None:
            _patch(subject.module, mutant.tree)
            for place, one in enumerate(chosen):
                _limit(2.0 + 5.0 * one.seconds)
                self._run(one.item, chosen[place + 1].item if place + 1 < len(chosen) else session)
                if session.testsfailed:
                    return place
            return None

        status = _in_child(first_failing)
        if 0 <= status < len(chosen):
            self._kills[chosen[status].item] += 1
        return status == _SURVIVED


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("mutants", __doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="a file of GROUPS, or a group")
    parser.add_argument("--sample", type=int, help="of each module; else all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a JSON file, whose entries for these modules are renewed")
    parser.add_argument("--again", action="store_true", help="only what survived without a reason, by the entries of --output")
    options = parser.parse_args(words)
    reasons = yaml.safe_load(REASONS.read_text(encoding="utf-8")) or {}
    before = _entries(options.output) if options.again else {}
    unexplained = 0

    def tell(subject: Subject, survivors: list[Mutant]) -> None:
        nonlocal unexplained
        entry = _entry(subject, [*subject.known, *survivors], options.seed, reasons.get(subject.name, {}))
        for one in entry["survivors"]:
            unexplained += one["reason"] is None
            print(f"{subject.name}:{one['line']}: {one['change']}: {one['reason'] or 'NO REASON'}", file=sys.stderr)
        print(json.dumps({"module": subject.name} | {key: entry[key] for key in COUNTED}), file=sys.stderr, flush=True)
        if options.output:
            _renew(options.output, subject.name, entry)

    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tempfile.tempdir = os.environ["TMPDIR"] = os.path.realpath(folder)
        sys.addaudithook(stay_within)
        for names, tests in _chosen(options.modules or list(GROUPS)):
            subjects = [Subject.of(one, options.sample, options.seed, before.get(one, {}), reasons.get(one, {})) for one in names]
            _try([one for one in subjects if one.count], tests, tell)
    sys.exit(unexplained > 0)


def _chosen(words: Sequence[str]) -> list[tuple[list[str], tuple[str, ...]]]:
    """Of each group the modules that are named, by themselves or as the group, and the tests."""
    known = {name: {name, *group.names()} for name, group in GROUPS.items()}
    if strange := set(words) - {one for names in known.values() for one in names}:
        sys.exit(f"{', '.join(strange)}: no group, and no module of one; the groups are {', '.join(GROUPS)}")
    named = {name: [one for one in group.names() if name in words or one in words] for name, group in GROUPS.items()}
    return [(names, GROUPS[group].tests) for group, names in named.items() if names]


def _try(subjects: Sequence[Subject], tests: Sequence[str], tell: Callable[[Subject, list[Mutant]], None]) -> None:
    """Tells of each module, after one run of the tests that these modules share."""
    if not any(one.tried for one in subjects):
        for subject in subjects:
            tell(subject, [])
        return
    plugin = Mutating(subjects, tell)
    quiet = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:faulthandler"]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123  # a device
        pytest.main([*quiet, *(str(ROOT / test) for test in tests)], plugins=[plugin])
    if plugin.failed is None or plugin.failed:
        sys.exit(f"the modules as they are: {', '.join(plugin.failed or ['the tests cannot be collected'])} fails")


def _entry(subject: Subject, survivors: Sequence[Mutant], seed: int, reasons: dict[str, str]) -> Entry:
    """What the output holds of a module."""
    return {
        "source": subject.source, "mutants": subject.count, "drawn": subject.drawn, "seed": seed,
        "killed": subject.drawn - len(survivors),
        "survivors": [{"line": one.line, "change": one.words, "reason": reasons.get(one.words)} for one in survivors],
    }  # fmt: skip


def _entries(output: Path) -> dict[str, Entry]:
    return dict(json.loads(output.read_text(encoding="utf-8"))["modules"]) if output.is_file() else {}


def _renew(output: Path, name: str, entry: Entry) -> None:
    """Puts a module's entry into the file, and counts again."""
    found = _entries(output) | {name: entry}
    modules = {group: {one: found[one] for one in where.names() if one in found} for group, where in GROUPS.items()}
    counts = {group: _counted(entries.values()) for group, entries in modules.items() if entries}
    ordered = {name: entry for entries in modules.values() for name, entry in entries.items()}
    text = json.dumps({"groups": counts | {"all": _counted(ordered.values())}, "modules": ordered}, indent=1, ensure_ascii=False)
    output.write_text(text + "\n", encoding="utf-8")


def _counted(entries: Iterable[Entry]) -> dict[str, float]:
    count = {key: sum(entry[key] for entry in entries) for key in COUNTED}
    return count | {"share": round(count["killed"] / count["drawn"], 3)}


def _in_child(first_failing: Callable[[], int | None]) -> int:
    """What a child of this process found: the place of a test, `_SURVIVED`, or `_KILLED` where it did not get so far."""
    child = os.fork()
    if not child:
        status = _KILLED
        with contextlib.suppress(BaseException):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            place = first_failing()
            status = _SURVIVED if place is None else min(place, _KILLED)
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _limit(seconds: float) -> None:
    """Ends this process after so many more seconds of CPU, or a good many more by the clock."""
    resource.setrlimit(resource.RLIMIT_CPU, (round(time.process_time() + seconds + 0.5), resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY,) * 2)
    signal.alarm(round(20 + 10 * seconds))


def _patch(module: ModuleType, tree: ast.Module) -> None:
    """The code of the module's functions becomes that of the tree's, wherever they have been imported to."""
    fresh: dict[str, Any] = {"__name__": module.__name__, "__file__": module.__file__, "__package__": module.__package__}
    exec(compile(tree, str(module.__file__), "exec"), fresh)
    for name, new in fresh.items():
        old = module.__dict__.get(name)
        if isinstance(old, type) and isinstance(new, type) and old.__module__ == module.__name__:
            for inner, method in vars(new).items():
                _replace(vars(old).get(inner), method)
        else:
            _replace(old, new)


def _replace(old: Any, new: Any) -> None:
    old, new = (inspect.unwrap(_function(one)) if callable(_function(one)) else None for one in (old, new))
    if isinstance(old, FunctionType) and isinstance(new, FunctionType) and old.__code__.co_freevars == new.__code__.co_freevars:
        old.__code__ = new.__code__
        old.__defaults__, old.__kwdefaults__ = new.__defaults__, new.__kwdefaults__


def _forget(module: ModuleType) -> None:
    """Empties what the module's functions keep."""
    for one in vars(module).values():
        if getattr(one, "__module__", None) == module.__name__ and hasattr(one, "cache_clear"):
            one.cache_clear()


def _function(one: Any) -> Any:
    """What a property or a method holds."""
    for name in ("fget", "func", "__func__"):
        one = getattr(one, name, None) or one
    return one


if __name__ == "__main__":
    main()
