"""What is changed in a module for `benchmarks.mutants`: one operator, number or condition inside a function.

Left as they are: annotations, which nothing reads, and `strict=`, which only asserts that lengths are equal.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import NamedTuple

_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot,
    ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Add, ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_SHORT = 70
"""characters of a statement or an expression that make it plain which number in it is meant"""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Mutant(NamedTuple):
    """A module's tree with one change, the outermost function that holds it, the line, and the change in words."""

    tree: ast.Module
    function: str
    line: int
    change: str

    @property
    def words(self) -> str:
        """What tells it from the module's others, wherever its line has moved."""
        return f"{self.function}: {self.change}"


class _Place(NamedTuple):
    """A node that may be changed: its number in `ast.walk`, the function around it, and the number of the expression that shows it."""

    number: int
    function: str
    shown: int


def mutants(tree: ast.Module) -> Iterator[Mutant]:
    """One for each change."""
    for place in _places(tree):
        for which, _ in enumerate(_changes(_at(tree, place.number))):
            changed = deepcopy(tree)
            node, shown = _at(changed, place.number), _at(changed, place.shown)
            before = _words(shown, node)
            list(_changes(node))[which]()
            line: int = node.lineno  # type: ignore[attr-defined]  # all that can be changed have one
            yield Mutant(ast.fix_missing_locations(changed), place.function, line, f"{before} -> {_words(shown, node)}")


def marked(tree: ast.Module, called: str, module: str) -> ast.Module:
    """The tree, where each outermost function begins with a call of `called` with `module:function`."""
    changed = deepcopy(tree)
    for name, function in _functions(changed):
        function.body[:0] = ast.parse(f"{called}({f'{module}:{name}'!r})").body
    return ast.fix_missing_locations(changed)


def _functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """The functions and methods of a module, without those inside of them."""
    for node in tree.body:
        if isinstance(node, Function):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{part.name}", part) for part in node.body if isinstance(part, Function))


def _places(tree: ast.Module) -> Iterator[_Place]:
    numbers = {id(node): number for number, node in enumerate(ast.walk(tree))}
    for name, function in _functions(tree):
        for statement in function.body:
            yield from (_Place(numbers[id(node)], name, numbers[id(shown)]) for node, shown in _read(statement, statement))


def _read(node: ast.AST, shown: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """What is run, with the longest statement or expression around it that is short."""
    if isinstance(node, ast.stmt | ast.expr) and not _is_short(shown):
        shown = node
    yield node, node if isinstance(node, ast.If | ast.While | ast.IfExp) else shown
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns") or (isinstance(node, ast.keyword) and node.arg == "strict"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _read(child, shown)


def _is_short(node: ast.AST) -> bool:
    text = ast.unparse(node)
    return "\n" not in text and len(text) <= _SHORT


def _at(tree: ast.Module, number: int) -> ast.AST:
    return next(node for place, node in enumerate(ast.walk(tree)) if place == number)


def _words(shown: ast.AST, changed: ast.AST) -> str:
    """Of a condition that is changed itself, no more than the condition."""
    return ast.unparse(shown.test if isinstance(shown, ast.If | ast.While | ast.IfExp) and shown is changed else shown).partition("\n")[0]


def _changes(node: ast.AST) -> Iterator[Callable[[], None]]:
    """Functions that change a node in place."""
    if isinstance(node, ast.Compare):
        for place, one in enumerate(node.ops):
            if type(one) in _SWAPPED:
                yield lambda place=place, one=one: node.ops.__setitem__(place, _SWAPPED[type(one)]())  # type: ignore[misc]  # of one kind
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
