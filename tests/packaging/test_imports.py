"""Imports point inwards: the walls of the house, read off the import graph."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.xdist_group("source")  # which is read once

# Which rooms each room may use beside itself. The face (src/tickglass) may use all.
MAY_USE: Final[Mapping[str, frozenset[str]]] = {
    "domain": frozenset(),
    "engine": frozenset({"domain", "executors"}),
    "executors": frozenset({"domain"}),
    "files": frozenset({"domain"}),
    "stores": frozenset({"domain", "files"}),
    "telemetry": frozenset({"domain", "files"}),
    "dashboards": frozenset({"telemetry", "domain"}),
    "alerts": frozenset({"telemetry", "domain"}),
}
ROOMS: Final = (  # the longest name that fits decides
    ("tickglass.sched.engine", "engine"),
    ("tickglass.sched.executors", "executors"),
    ("tickglass.sched.files", "files"),
    ("tickglass.sched.stores", "stores"),
    ("tickglass.sched", "domain"),
    ("tickglass.telemetry", "telemetry"),
    ("tickglass.dashboards", "dashboards"),
    ("tickglass.alerts", "alerts"),
    ("tickglass", "face"),
)
TELEMETRY_ONLY: Final = ("prometheus_client", "opentelemetry")
NOT_PURE: Final = ("asyncio", "logging", "multiprocessing", "redis", "socket", "sqlite3", "subprocess")


def module_of(path: str) -> str:
    """Return the import name of a file, given its path from the root."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    parts = parts[1:] if parts[0] == "src" else ["tickglass", *parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str | None:
    return next((room for prefix, room in ROOMS if f"{module}.".startswith(f"{prefix}.")), None)


def imports_of(module: str, tree: ast.Module, *, package: bool) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything imported, wherever in the file.

    `from a import b` counts as a.b: b may be a module of its own.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")[: None if package and node.level == 1 else -(node.level - package)]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def wrong_arrows(trees: Mapping[str, ast.Module]) -> list[str]:
    """Return every import that points outwards, as "path:line imports name"."""
    wrong = []
    for path, tree in trees.items():
        module = module_of(path)
        room = room_of(module)
        for line, name in imports_of(module, tree, package=path.endswith("__init__.py")):
            outwards = room is not None and room in MAY_USE and not _allowed(room, name)
            smuggled = room != "telemetry" and name.startswith(TELEMETRY_ONLY)
            if outwards or smuggled:
                wrong.append(f"{path}:{line} imports {name}")
    return wrong


def _allowed(room: str, name: str) -> bool:
    other = room_of(name)
    if other is not None:
        return other == room or other in MAY_USE[room]
    top = name.split(".", maxsplit=1)[0]
    return (room == "telemetry" or top not in TELEMETRY_ONLY) and (room != "domain" or top not in NOT_PURE)


def shipped(trees: Mapping[str, ast.Module]) -> dict[str, ast.Module]:
    return {path: tree for path, tree in trees.items() if not path.startswith(("tests/", "bench/", "examples/"))}


def test_every_import_points_inwards(trees: dict[str, ast.Module]) -> None:
    assert wrong_arrows(shipped(trees)) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("sched/job.py", "from tickglass.sched.engine import pool"),
        ("sched/job.py", "from tickglass.sched import stores"),
        ("sched/job.py", "from tickglass.sched.files.private import make_private"),
        ("sched/job.py", "import tickglass.telemetry"),
        ("sched/job.py", "from tickglass import Scheduler"),
        ("sched/job.py", "from . import engine"),
        ("sched/job.py", "import logging"),
        ("sched/job.py", "def f():\n    import sqlite3"),
        ("sched/triggers/cron.py", "from ..stores import memory"),
        ("sched/__init__.py", "from .engine import pool"),
        ("sched/triggers/__init__.py", "from ..stores import memory"),
        ("sched/engine/running/dispatcher.py", "from tickglass.sched.stores.memory import MemoryStore"),
        ("sched/engine/running/dispatcher.py", "from tickglass.telemetry import metrics"),
        ("sched/engine/running/dispatcher.py", "import prometheus_client"),
        ("sched/stores/sqlite/store.py", "from tickglass.sched.executors.threads import Pool"),
        ("sched/stores/sqlite/store.py", "from opentelemetry.trace import Span"),
        ("telemetry/metrics.py", "from tickglass.sched.stores import open_store"),
        ("telemetry/metrics.py", "from tickglass.cli import main"),
        ("src/tickglass/cli/commands/next.py", "from prometheus_client import Counter"),
    ],
)
def test_a_wrong_arrow_is_seen(path: str, line: str) -> None:
    assert len(wrong_arrows({path: ast.parse(line)})) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("sched/job.py", "from tickglass.sched.triggers import Trigger"),
        ("sched/triggers/__init__.py", "from .cron import cron"),
        ("sched/engine/running/dispatcher.py", "from tickglass.sched.ports import Store"),
        ("sched/engine/running/dispatcher.py", "from tickglass.sched.engine.leasing.renewer import LeaseRenewer"),
        ("sched/stores/sqlite/store.py", "import sqlite3"),
        ("telemetry/metrics.py", "from prometheus_client import Counter"),
        ("telemetry/metrics.py", "from tickglass.sched.events import Event"),
        ("alerts/rules.py", "from tickglass.telemetry.catalogue import CATALOGUE"),
        ("src/tickglass/__init__.py", "from tickglass.sched.engine.scheduler import Scheduler"),
    ],
)
def test_a_right_arrow_is_let_through(path: str, line: str) -> None:
    assert wrong_arrows({path: ast.parse(line)}) == []


def test_everything_imported_is_declared_as_a_dependency(trees: dict[str, ast.Module], root: Path) -> None:
    project = _project(root)
    extras = project["optional-dependencies"].values()
    declared = {_distribution(line) for line in [*project["dependencies"], *chain.from_iterable(extras)]}
    distributions = importlib.metadata.packages_distributions()
    for path, tree in shipped(trees).items():
        for line, name in imports_of(module_of(path), tree, package=path.endswith("__init__.py")):
            if name.split(".")[0] not in sys.stdlib_module_names | {"tickglass"}:
                providers = {_distribution(found) for found in distributions.get(name.split(".")[0], [])}
                assert providers & declared, f"{path}:{line} imports {name}, which pyproject.toml does not name"


def _project(root: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads(Path(root, "pyproject.toml").read_text())["project"]
    return project


def _distribution(requirement: str) -> str:
    name = re.match(r"[\w.-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()
