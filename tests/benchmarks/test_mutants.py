"""What a mutant is, and that one which a test notices is told from one that none does."""

from __future__ import annotations

import ast
import json
import sys
import types

from benchmarks.guard import stay_within
from benchmarks.mutants import _KILLED, _SURVIVED, GROUPS, ROOT, _in_child, _patch
from benchmarks.mutations import marked, mutants

SOURCE = """
LIMIT = 3

class Box:
    def fits(self, n: int | None = 5) -> bool:
        room: int | float = 2
        return n is not None and n < room * LIMIT

def pairs(left, right):
    for one, other in zip(left, right, strict=True):
        if one and not other:
            yield -1
"""


def changes(source: str) -> set[tuple[str, str]]:
    return {(one.function, one.change) for one in mutants(ast.parse(source))}


def test_operators_numbers_and_conditions_within_functions_are_changed():
    room, whole = "room: int | float =", "return n is not None and n < room * LIMIT"
    assert changes(SOURCE) == {
        ("Box.fits", f"{room} 2 -> {room} 3"),
        ("Box.fits", f"{whole} -> return n is not None or n < room * LIMIT"),
        ("Box.fits", f"{whole} -> return n is None and n < room * LIMIT"),
        ("Box.fits", f"{whole} -> return n is not None and n <= room * LIMIT"),
        ("Box.fits", f"{whole} -> return n is not None and n < room + LIMIT"),
        ("pairs", "one and (not other) -> not (one and (not other))"),
        ("pairs", "one and (not other) -> one or not other"),
        ("pairs", "one and (not other) -> one and (not not other)"),
        ("pairs", "yield (-1) -> yield (+1)"),
        ("pairs", "yield (-1) -> yield (-2)"),
    }


def module_of(source: str) -> types.ModuleType:
    module = types.ModuleType("boxes")
    module.__file__ = "boxes.py"
    exec(compile(source, "boxes.py", "exec"), vars(module))
    return module


def test_what_has_been_imported_already_is_changed_too():
    module = module_of("def double(n):\n    return n * 2\n")
    double, entered = module.double, []
    vars(module)["called"] = entered.append
    _patch(module, marked(ast.parse("def double(n):\n    return n * 2\n"), "called", "boxes.py"))
    assert double(3) == 6
    assert entered == ["boxes.py:double"]
    [added] = [one.tree for one in mutants(ast.parse("def double(n):\n    return n * 2\n")) if one.change.endswith("n + 2")]
    _patch(module, added)
    assert double(3) == 5


def test_a_child_says_which_test_failed_that_none_did_or_that_it_came_to_no_end():
    assert _in_child(lambda: 4) == 4
    assert _in_child(lambda: None) == _SURVIVED
    assert _in_child(lambda: 1 // 0) == _KILLED


def test_a_mutant_changes_nothing_outside_of_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "inside"))
    (tmp_path / "inside").mkdir()
    (tmp_path / "a").write_text("kept")
    inside = tmp_path / "inside" / "c"

    def ends(*steps):
        sys.addaudithook(stay_within)
        for step in steps:
            step()

    assert _in_child(lambda: ends(lambda: inside.write_text("x"), lambda: inside.rename(inside.with_name("b")))) == _SURVIVED
    assert _in_child(lambda: ends(lambda: inside.with_name("b").unlink())) == _SURVIVED
    inside.write_text("x")
    for harm in ((tmp_path / "a").unlink, lambda: inside.rename(tmp_path / "a"), lambda: (tmp_path / "d").touch()):
        assert _in_child(lambda harm=harm: ends(harm)) == _KILLED
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "inside"]
    assert (tmp_path / "a").read_text() == "kept"


def test_of_each_published_group_85_in_100_are_killed():
    found = json.loads((ROOT / "benchmarks" / "results" / "mutants.json").read_text(encoding="utf-8"))
    assert {*found["groups"]} <= {*GROUPS, "all"}
    assert all(counts["share"] >= 0.85 for counts in found["groups"].values()), found["groups"]
