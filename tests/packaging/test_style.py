"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import tomllib
from typing import TYPE_CHECKING, Final

import pytest
from kit.import_graph import shipped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("source")  # which is read once

FILE_LINES_MAX: Final = 500
FUNCTION_LINES_MAX: Final = 60
PRIVATE: Final = re.compile(r"noqa\b.*\bSLF(001)?\b", re.IGNORECASE)  # ruff's rule: an underscore belongs to its class
# redis-py offers no other way to its socket: to end a read, to bound one, or to do without its polls.
DRIVER_INTERNALS: Final = frozenset(
    {"sched/stores/redis/direct.py", "sched/stores/redis/watch.py", "sched/stores/redlock/quorum.py"}
)
DOOR: Final = "sched/state_machine.py"  # the one place that moves a state machine


def state_assignments(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that set an attribute `_state`, in whichever way."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="_state", ctx=ast.Store() | ast.Del()):
                yield node.lineno
            case ast.Call(args=[_, ast.Constant(value="_state"), *_]):  # setattr and its like
                yield node.lineno
            case _:
                pass


def long_functions(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.name}: {lines} lines"


def test_nobody_but_the_door_moves_a_state_machine(trees: dict[str, ast.Module]) -> None:
    assert list(state_assignments(trees[DOOR])), "the door itself is found"
    found = [f"{path}:{line}" for path, tree in trees.items() if path != DOOR for line in state_assignments(tree)]
    assert found == []


def test_each_way_to_assign_is_seen() -> None:
    ways = (
        "self._state = 1",
        "self._state: int = 1",
        "self._state, b = 1, 2",
        "self._state += 1",
        "del self._state",
        "for self._state in x: pass",
        "setattr(self, '_state', 1)",
        "object.__setattr__(self, '_state', 1)",
    )
    for way in ways:
        assert list(state_assignments(ast.parse(way))) == [1], way
    assert list(state_assignments(ast.parse("a = self._state"))) == []


def test_no_file_is_too_long(trees: dict[str, ast.Module]) -> None:
    lengths = {
        path: max((getattr(node, "end_lineno", 0) for node in tree.body), default=0) for path, tree in trees.items()
    }
    assert {path: lines for path, lines in lengths.items() if lines > FILE_LINES_MAX} == {}


def test_no_function_is_too_long(trees: dict[str, ast.Module]) -> None:
    found = [f"{path}, {function}" for path, tree in trees.items() for function in long_functions(tree)]
    assert found == []
    assert list(long_functions(ast.parse("def f():\n" + "    x = 1\n" * 60))) == ["f: 61 lines"]


def test_no_module_reaches_into_another_class(trees: dict[str, ast.Module], root: Path) -> None:
    found = {path for path in shipped(trees) if PRIVATE.search((root / path).read_text())}
    assert sorted(found) == sorted(DRIVER_INTERNALS)


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("run._end()  # noqa: SLF001", True),
        ("run._end()  # noqa: SLF001 - the engine's side of a run", True),
        ("run._end()  # noqa: S101, SLF001", True),
        ("run._end()  # NOQA:SLF001", True),
        ("run._end()  # noqa: SLF", True),
        ("# ruff: noqa: SLF001", True),
        ("run._end()  # noqa: S101", False),
        ("run.end()  # SLF001 would refuse an underscore", False),
    ],
)
def test_each_way_to_allow_it_is_seen(line: str, seen: bool) -> None:  # noqa: FBT001 - a column of the table
    assert bool(PRIVATE.search(line)) is seen


def test_the_linter_refuses_it_in_every_folder_that_is_shipped(root: Path) -> None:
    allowed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert not any(rule.startswith("SLF") for rule in allowed["ignore"])
    assert {folder for folder, rules in allowed["per-file-ignores"].items() if "SLF001" in rules} == {"tests/**"}
