"""Imports point inwards: the outer walls of the house, read off the import graph. test_walls.py has the inner ones."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from kit.import_graph import Import, imports_in, shipped

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.xdist_group("source")  # which is read once

# Which rooms each room may use beside itself. The face (src/tickglass) may use all.
MAY_USE: Final[Mapping[str, frozenset[str]]] = {
    "domain": frozenset(),
    "threads": frozenset({"domain"}),
    "engine": frozenset({"domain", "threads"}),
    "executors": frozenset({"domain"}),
    "files": frozenset({"domain"}),
    "stores": frozenset({"domain", "files"}),
    "telemetry": frozenset({"domain", "files", "threads"}),
    "dashboards": frozenset({"telemetry", "domain"}),
    "alerts": frozenset({"telemetry", "domain"}),
}
ROOMS: Final = (  # the longest name that fits decides
    ("tickglass.sched.engine", "engine"),
    ("tickglass.sched.executors", "executors"),
    ("tickglass.sched.files", "files"),
    ("tickglass.sched.threads", "threads"),
    ("tickglass.sched.stores", "stores"),
    ("tickglass.sched", "domain"),
    ("tickglass.telemetry", "telemetry"),
    ("tickglass.dashboards", "dashboards"),
    ("tickglass.alerts", "alerts"),
    ("tickglass", "face"),
)
# The dispatcher puts the executors together, and the lag monitor asks the event loop.
EXECUTORS_NAMED_BY: Final = ("sched/engine/running/dispatcher.py", "sched/engine/running/loop_lag.py")
TELEMETRY_ONLY: Final = ("prometheus_client", "opentelemetry")
NOT_PURE: Final = ("asyncio", "logging", "multiprocessing", "redis", "socket", "sqlite3", "subprocess")


def room_of(module: str) -> str | None:
    return next((room for prefix, room in ROOMS if f"{module}.".startswith(f"{prefix}.")), None)


def wrong_arrows(trees: Mapping[str, ast.Module]) -> list[Import]:
    """Return every import that points outwards."""
    return [found for found in imports_in(trees) if _is_wrong(found)]


def _is_wrong(found: Import) -> bool:
    room = room_of(found.importer)
    outwards = room is not None and room in MAY_USE and not _allowed(room, found.name)
    smuggled = room != "telemetry" and found.name.startswith(TELEMETRY_ONLY)
    assembles = found.path in EXECUTORS_NAMED_BY and room_of(found.name) == "executors"
    return (outwards and not assembles) or smuggled


def _allowed(room: str, name: str) -> bool:
    other = room_of(name)
    if other is not None:
        return other == room or other in MAY_USE[room]
    top = name.split(".", maxsplit=1)[0]
    return (room == "telemetry" or top not in TELEMETRY_ONLY) and (room != "domain" or top not in NOT_PURE)


def test_every_import_points_inwards(trees: dict[str, ast.Module]) -> None:
    found = wrong_arrows(shipped(trees))
    assert [str(wrong) for wrong in found] == []


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
        ("sched/job.py", "from tickglass.sched.threads.loop import Loop"),
        ("sched/job.py", "def f():\n    import sqlite3"),
        ("sched/triggers/cron.py", "from ..stores import memory"),
        ("sched/__init__.py", "from .engine import pool"),
        ("sched/triggers/__init__.py", "from ..stores import memory"),
        ("sched/engine/running/dispatcher.py", "from tickglass.sched.stores.memory.store import MemoryStore"),
        ("sched/engine/running/dispatcher.py", "from tickglass.telemetry import metrics"),
        ("sched/engine/running/dispatcher.py", "import prometheus_client"),
        ("sched/engine/running/claim.py", "from tickglass.sched.executors.threads import Pool"),
        ("sched/executors/threads.py", "from tickglass.sched.engine.context import EngineContext"),
        (
            "sched/executors/threads.py",
            "if TYPE_CHECKING:\n    from tickglass.sched.stores.memory.store import MemoryStore",
        ),
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
    for found in imports_in(shipped(trees)):
        top = found.name.split(".")[0]
        if top not in sys.stdlib_module_names | {"tickglass"}:
            providers = {_distribution(provider) for provider in distributions.get(top, [])}
            assert providers & declared, f"{found}, which pyproject.toml does not name"


def _project(root: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads(Path(root, "pyproject.toml").read_text())["project"]
    return project


def _distribution(requirement: str) -> str:
    name = re.match(r"[\w.-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()
