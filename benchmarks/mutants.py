"""Mutation testing of the modules where a wrong sign would be quiet: does a test fail when an operator, a number or a condition is changed?

    python -m benchmarks.mutants [MODULE …] [--sample 40] [--seed 0] [--seconds 120]

Of each module (by default all of `TESTS`) so many mutants are drawn, with a seed; each runs that module's own tests in a process that is
forked once everything has been imported, so that a mutant costs what its tests cost. One whose tests use up their seconds of CPU counts
as killed. Prints a line for each survivor and a JSON line for each module.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import json
import os
import random
import resource
import sys
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import pytest

from benchmarks.arguments import parser_of

ROOT = Path(__file__).parents[1]
STRATEGIES = ["tests/reranker/strategies/test_guarantees.py", "tests/fuzz/test_strategies.py"]
LOSSES = ["tests/training/losses"]
TESTS = {
    "reranker/alignment.py": ["tests/reranker/test_alignment.py"],
    "reranker/runs/trec.py": ["tests/reranker/runs/test_trec.py", "tests/fuzz/test_runs.py"],
    "reranker/strategies/sliding.py": STRATEGIES,
    "reranker/strategies/tournament.py": STRATEGIES,
    "reranker/strategies/topdown.py": STRATEGIES,
    "reranker/strategies/blitz.py": [*STRATEGIES, "tests/reranker/strategies/test_blitz.py"],
    "reranker/strategies/consistent.py": STRATEGIES,
    "reranker/strategies/full.py": STRATEGIES,
    "reranker/strategies/windows.py": STRATEGIES,
    "reranker/prompt/prompter.py": ["tests/fuzz/test_structure.py", "tests/fuzz/test_prompts.py", "tests/reranker/prompt/test_prompter.py"],
} | {f"training/losses/{name}.py": LOSSES for name in ("approx_ndcg", "lambdarank", "listmle", "listnet", "ranknet", "weighted_ranknet")}
_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot,
    ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Add, ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_KILLED, _SURVIVED = 0, 7
"""exit statuses of a mutant's process"""


class Mutant(NamedTuple):
    """A module's tree with one change, the line where it is, and the change in words."""

    tree: ast.Module
    line: int
    change: str


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("mutants", __doc__)
    parser.add_argument("modules", nargs="*", default=list(TESTS), metavar="MODULE")
    parser.add_argument("--sample", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=120, help="of CPU, that a mutant's tests may take")
    options = parser.parse_args(words)
    for name in options.modules:
        module = importlib.import_module("firstrank." + name.removesuffix(".py").replace("/", "."))
        tests = [str(ROOT / test) for test in TESTS[name]]
        if _run(["--collect-only", *tests]) or not _survives(None, module, tests, options.seconds):
            sys.exit(f"{name}: its tests fail as it is")
        mutants = list(_mutants(ast.parse((ROOT / name).read_text(encoding="utf-8"))))
        drawn = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))
        survivors = [one for one in drawn if _survives(one, module, tests, options.seconds)]
        for one in survivors:
            print(f"{name}:{one.line}: {one.change}")
        killed = len(drawn) - len(survivors)
        print(
            json.dumps({"module": name, "mutants": len(mutants), "drawn": len(drawn), "killed": killed, "seed": options.seed}), flush=True
        )


def _mutants(tree: ast.Module) -> Iterator[Mutant]:
    """One for each change inside a function."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node) for function in functions for part in function.body for node in ast.walk(part)}
    for place, node in enumerate(ast.walk(tree)):
        if id(node) not in inside:
            continue
        for number, _ in enumerate(_changes(node)):
            changed = deepcopy(tree)
            at = next(one for i, one in enumerate(ast.walk(changed)) if i == place)
            before = ast.unparse(at)
            list(_changes(at))[number]()
            yield Mutant(ast.fix_missing_locations(changed), getattr(node, "lineno", 0), f"{before} -> {ast.unparse(at)}")


def _changes(node: ast.AST) -> Iterator[Any]:
    """Functions that change a node in place."""
    if isinstance(node, ast.Compare):
        for place, one in enumerate(node.ops):
            if type(one) in _SWAPPED:
                yield lambda place=place, one=one: node.ops.__setitem__(place, _SWAPPED[type(one)]())  # type: ignore[call-overload]  # of one kind
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in _SWAPPED:
        yield lambda: setattr(node, "op", _SWAPPED[type(node.op)]())
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield lambda: setattr(node, "value", not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield lambda: setattr(node, "value", node.value + 1)  # type: ignore[operator]  # a number, as the line above has seen
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield lambda: setattr(node, "op", ast.UAdd())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield lambda: setattr(node, "operand", ast.UnaryOp(ast.Not(), node.operand))


def _survives(mutant: Mutant | None, module: ModuleType, tests: Sequence[str], seconds: int) -> bool:
    """Whether the tests pass, in a child of this process; None runs them on the module as it is."""
    child = os.fork()
    if not child:
        status = _KILLED
        with contextlib.suppress(BaseException):
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            if mutant is not None:
                _patch(module, mutant.tree)
            status = _SURVIVED if _run(["-x", *tests]) == 0 else _KILLED
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == _SURVIVED


def _run(words: Sequence[str]) -> int:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):  # noqa: PTH123  # a device
        return int(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *words]))


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


def _function(one: Any) -> Any:
    """What a property or a method holds."""
    for name in ("fget", "func", "__func__"):
        one = getattr(one, name, None) or one
    return one


if __name__ == "__main__":
    main()
