"""Imports point down: the inner walls of the house. test_imports.py has the outer ones.

Imports under TYPE_CHECKING count like all others: a module that names a type knows the module that defines it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest
from kit.import_graph import Import, circle_in, imports_in, is_within, module_graph, module_of, shipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class House:
    """A package whose rooms lie on floors, the highest first.

    A room is a folder or a module. It may use the rooms on lower floors, but no other room on its own floor, and none
    above. The package's own `__init__` is the roof: it may use all rooms, and no room may use it.
    """

    package: str
    floors: tuple[tuple[str, ...], ...]
    only_for: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # rooms that not all above them may use

    def place_of(self, name: str) -> tuple[int, str] | None:
        """Return the floor and the room that a name belongs to; None for the roof and for a room that has no floor."""
        return next(
            (
                (depth, room)
                for depth, floor in enumerate(self.floors)
                for room in floor
                if is_within(name, f"{self.package}.{room}")
            ),
            None,
        )

    def wrong_arrows(self, imports: Iterable[Import]) -> list[Import]:
        return [found for found in imports if self._is_inside(found) and self._is_wrong(found)]

    def _is_inside(self, found: Import) -> bool:
        return is_within(found.name, self.package) and is_within(found.importer, self.package)

    def _is_wrong(self, found: Import) -> bool:
        user, used = self.place_of(found.importer), self.place_of(found.name)
        if user is None:
            return False
        if used is None:
            return True
        if used[1] == user[1]:
            return False
        return used[0] <= user[0] or user[1] not in self.only_for.get(used[1], (user[1],))


HOUSES: Final = (
    House(
        "tickglass.sched.engine",
        (
            ("engine",),
            ("control", "readiness"),
            ("recovery",),
            ("planning",),
            ("running", "locking"),
            ("membership",),
            ("leasing",),
            ("timing",),
            ("standing_orders",),
            ("broadcast", "context", "job_table"),
            ("foreign_errors",),
        ),
    ),
    House(
        "tickglass.sched.stores",
        (
            ("registry",),
            ("redlock",),
            ("etcd", "memory", "redis", "spool", "sqlite"),
            ("url",),
            ("fork_gate", "missing_log", "redaction", "retention", "run_times", "side_by_side", "watchers"),
        ),
        only_for={
            "etcd": ("registry",),
            "memory": ("registry",),
            "redis": ("registry", "redlock"),
            "sqlite": ("registry",),
        },
    ),
    House(
        "tickglass.telemetry",
        (
            ("sidecar",),
            ("endpoint",),
            ("logs", "metrics", "spans"),
            ("names",),
            ("internals", "jobs", "locks", "log_pace", "queries", "reference", "tracing"),
            ("interval", "series", "thresholds"),
            ("catalogue",),
            ("label_values", "metric"),
        ),
        only_for={"queries": ()},  # what boards and alerts ask Prometheus; nothing that runs here needs it
    ),
    House(
        "tickglass.telemetry.sidecar",
        (
            ("collector", "web"),
            ("merge",),
            ("schedulers", "stores"),
            ("explain",),
            ("transport", "view"),
        ),
    ),
    House(
        "tickglass.telemetry.sidecar.web",
        (
            ("app", "server"),
            ("api", "forms", "history"),
            ("messages",),
            ("control",),
            ("auth_middleware", "hub"),
            ("page",),
            ("selection",),
            ("access", "bodies", "charts", "problem_details"),
            ("auth",),
        ),
    ),
)
# What these rooms of the domain may use of ours, beside themselves.
SPARSE: Final[Mapping[str, frozenset[str]]] = {
    "tickglass.sched.fencing": frozenset({"errors"}),
    "tickglass.sched.policies": frozenset({"durations", "errors", "occurrence", "triggers"}),
    "tickglass.sched.triggers": frozenset({"durations", "errors"}),
}
# A policy is a function of its arguments: it asks nothing outside, and it waits for nothing.
NOT_FOR_POLICIES: Final = frozenset({"asyncio", "io", "os", "pathlib", "random", "threading", "time", "zoneinfo"})


@pytest.fixture(scope="module")
def imports(trees: dict[str, ast.Module]) -> list[Import]:
    return list(imports_in(shipped(trees)))


@pytest.fixture(scope="module")
def modules(trees: dict[str, ast.Module]) -> frozenset[str]:
    return frozenset(module_of(path) for path in shipped(trees))


def upward(imports: Iterable[Import]) -> list[Import]:
    every = list(imports)
    return [wrong for house in HOUSES for wrong in house.wrong_arrows(every)]


def too_much(imports: Iterable[Import]) -> list[Import]:
    """Return what the sparse rooms import though they shall not."""
    return [
        found for found in imports for room in SPARSE if is_within(found.importer, room) and _is_too_much(found, room)
    ]


def _is_too_much(found: Import, room: str) -> bool:
    if is_within(found.name, "tickglass"):
        return not is_within(found.name, room) and not any(
            is_within(found.name, f"tickglass.sched.{other}") for other in SPARSE[room]
        )
    return room == "tickglass.sched.policies" and found.name.split(".")[0] in NOT_FOR_POLICIES


def test_every_import_between_rooms_points_down(imports: list[Import]) -> None:
    found = upward(imports)
    check_none({str(wrong) for wrong in found}, "point up or aside")


def test_every_module_of_a_house_is_in_a_room_that_has_a_floor(modules: frozenset[str]) -> None:
    homeless = {
        module
        for house in HOUSES
        for module in modules
        if is_within(module, house.package) and module != house.package and house.place_of(module) is None
    }
    check_none(homeless, "are on no floor: say in HOUSES what may use them")


def test_every_room_on_a_floor_exists(modules: frozenset[str]) -> None:
    rooms = {f"{house.package}.{room}" for house in HOUSES for floor in house.floors for room in floor}
    check_none(rooms - modules, "have a floor, but do not exist")


def test_triggers_policies_and_fencing_need_almost_nothing(imports: list[Import]) -> None:
    check_none({str(wrong) for wrong in too_much(imports)}, "are more than the room may need")


def test_no_module_imports_itself_through_others(imports: list[Import], modules: frozenset[str]) -> None:
    assert circle_in(module_graph(imports, modules)) == []


def check_none(found: Iterable[str], what: str) -> None:
    lines = sorted(found)
    assert not lines, "\n".join([f"These {what}:", *lines])


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("sched/engine/readiness.py", "from tickglass.sched.engine.engine import Engine"),
        ("sched/engine/recovery/sweeper.py", "from tickglass.sched.engine.readiness import Readiness"),
        ("sched/engine/planning/planner.py", "from tickglass.sched.engine.recovery.sweeper import Sweeper"),
        ("sched/engine/running/claim.py", "from tickglass.sched.engine.planning.misfires import Misfires"),
        ("sched/engine/running/claim.py", "from tickglass.sched.engine.locking.manual_lock import ManualLocks"),
        ("sched/engine/locking/manual_lock.py", "from tickglass.sched.engine.running.outbox import Outbox"),
        ("sched/engine/membership/presence.py", "from tickglass.sched.engine.locking import wait_queue"),
        ("sched/engine/leasing/renewer.py", "from tickglass.sched.engine.membership.presence import Presence"),
        ("sched/engine/leasing/renewer.py", "from ..membership.presence import Presence"),
        ("sched/engine/timing/timers.py", "from tickglass.sched.engine.leasing.renewer import LeaseRenewer"),
        ("sched/engine/context.py", "from tickglass.sched.engine.timing.timers import Timers"),
        ("sched/engine/context.py", "from tickglass.sched.engine.broadcast import Broadcast"),
        ("sched/engine/context.py", "import tickglass.sched.engine"),
        ("sched/engine/foreign_errors.py", "from tickglass.sched.engine.context import EngineContext"),
        ("sched/engine/running/claim.py", "from tickglass.sched.engine import anything"),
        ("sched/engine/running/claim.py", "def f():\n    from tickglass.sched.engine.planning import planner"),
        ("sched/stores/redis/store.py", "from tickglass.sched.stores.redlock.store import RedlockStore"),
        ("sched/stores/redis/store.py", "from tickglass.sched.stores.sqlite import file"),
        ("sched/stores/etcd/store.py", "from tickglass.sched.stores.memory.store import MemoryStore"),
        ("sched/stores/redlock/store.py", "from tickglass.sched.stores.etcd.client import EtcdClient"),
        ("sched/stores/sqlite/store.py", "from tickglass.sched.stores.registry import open_store"),
        ("sched/stores/sqlite/store.py", "from tickglass.sched.stores import open_store"),
        ("sched/stores/retention.py", "from tickglass.sched.stores.url import StoreUrl"),
        ("telemetry/catalogue/jobs.py", "from tickglass.telemetry.series import SeriesGroup"),
        ("telemetry/catalogue/jobs.py", "from tickglass.telemetry.thresholds import LATE_S"),
        ("telemetry/metrics.py", "from tickglass.telemetry.queries.jobs import owed_since"),
        ("telemetry/queries/jobs.py", "from tickglass.telemetry.jobs import JobMetrics"),
        ("telemetry/jobs.py", "from tickglass.telemetry.metrics import MetricSink"),
        ("telemetry/metrics.py", "from tickglass.telemetry.sidecar.view import View"),
        ("telemetry/spans.py", "from tickglass.telemetry import MetricSink"),
        ("telemetry/sidecar/collector.py", "from tickglass.telemetry.sidecar.web.hub import Hub"),
        ("telemetry/sidecar/web/hub.py", "from tickglass.telemetry.sidecar.collector import Collector"),
        ("telemetry/sidecar/merge/jobs.py", "from tickglass.telemetry.sidecar.web.page import Page"),
        ("telemetry/sidecar/stores/probe.py", "from tickglass.telemetry.sidecar.schedulers.sources import Sources"),
        ("telemetry/sidecar/schedulers/sources.py", "from tickglass.telemetry.sidecar.merge import jobs"),
        ("telemetry/sidecar/explain/why.py", "from tickglass.telemetry.sidecar.merge.jobs import merge_jobs"),
        ("telemetry/sidecar/transport/ring.py", "from tickglass.telemetry.sidecar.schedulers import receiver"),
        ("telemetry/sidecar/view.py", "from tickglass.telemetry.sidecar.explain.tones import Tone"),
    ],
)
@pytest.mark.parametrize("guard", ["", "if TYPE_CHECKING:\n"])
def test_an_import_that_points_up_or_aside_is_seen(path: str, line: str, guard: str) -> None:
    assert len(upward(imports_in({path: parsed(guard, line)}))) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("sched/engine/engine.py", "from tickglass.sched.engine.readiness import Readiness"),
        ("sched/engine/__init__.py", "from tickglass.sched.engine.engine import Engine"),
        ("sched/engine/planning/planner.py", "from tickglass.sched.engine.planning.misfires import Misfires"),
        ("sched/engine/running/claim.py", "from tickglass.sched.engine.membership.presence import Presence"),
        ("sched/engine/locking/manual_lock.py", "from tickglass.sched.engine.context import EngineContext"),
        ("sched/engine/locking/manual_lock.py", "from tickglass.sched.ports import LockStore"),
        ("sched/stores/redlock/store.py", "from tickglass.sched.stores.redis.store import RedisStore"),
        ("sched/stores/registry.py", "from tickglass.sched.stores.etcd.store import EtcdStore"),
        ("sched/stores/sqlite/store.py", "from tickglass.sched.stores.url import StoreUrl"),
        ("telemetry/queries/jobs.py", "from tickglass.telemetry.catalogue import CATALOGUE"),
        ("telemetry/sidecar/collector.py", "from tickglass.telemetry.metrics import MetricSink"),
        ("telemetry/sidecar/collector.py", "from tickglass.telemetry.sidecar.merge.jobs import merge_jobs"),
        ("telemetry/sidecar/merge/jobs.py", "from tickglass.telemetry.sidecar.view import View"),
    ],
)
def test_an_import_that_points_down_is_let_through(path: str, line: str) -> None:
    assert upward(imports_in({path: parsed("", line)})) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("sched/policies/overlap.py", "from tickglass.sched.clock import Clock"),
        ("sched/policies/overlap.py", "from tickglass.sched.ports import Ledger"),
        ("sched/policies/overlap.py", "from tickglass.sched.job import Job"),
        ("sched/policies/overlap.py", "from tickglass.sched.events import EventSink"),
        ("sched/policies/overlap.py", "from tickglass.sched.engine.context import EngineContext"),
        ("sched/policies/overlap.py", "import threading"),
        ("sched/policies/overlap.py", "import time"),
        ("sched/policies/overlap.py", "from random import random"),
        ("sched/policies/overlap.py", "def f():\n    import os.path"),
        ("sched/triggers/cron.py", "from tickglass.sched.clock import Clock"),
        ("sched/triggers/cron.py", "from tickglass.sched.job import Job"),
        ("sched/triggers/cron.py", "from .. import ports"),
        ("sched/fencing/sql.py", "from tickglass.sched.ports import Ledger"),
        ("sched/fencing/sql.py", "from tickglass.sched.stores.sqlite.store import SqliteStore"),
    ],
)
@pytest.mark.parametrize("guard", ["", "if TYPE_CHECKING:\n"])
def test_what_a_sparse_room_needs_too_much_is_seen(path: str, line: str, guard: str) -> None:
    assert len(too_much(imports_in({path: parsed(guard, line)}))) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("sched/policies/admission.py", "from tickglass.sched.policies.overlap import Overlap"),
        ("sched/policies/admission.py", "from tickglass.sched.occurrence import SkipReason"),
        ("sched/policies/admission.py", "from dataclasses import dataclass"),
        ("sched/triggers/cron.py", "from zoneinfo import ZoneInfo"),
        ("sched/fencing/sql.py", "from .writer import Writer"),
        ("sched/job.py", "from tickglass.sched.clock import Clock"),
    ],
)
def test_what_a_sparse_room_may_need_is_let_through(path: str, line: str) -> None:
    assert too_much(imports_in({path: parsed("", line)})) == []


@pytest.mark.parametrize("guard", ["", "if TYPE_CHECKING:\n"])
def test_a_circle_is_seen(guard: str) -> None:
    ring = {
        "sched/a.py": parsed(guard, "from tickglass.sched.b import anything"),
        "sched/b.py": parsed(guard, "from tickglass.sched import c"),
        "sched/c.py": parsed(guard, "def f():\n    import tickglass.sched.a"),
        "sched/d.py": parsed(guard, "from tickglass.sched.a import anything"),
    }
    assert circle_of(ring) == ["tickglass.sched.a", "tickglass.sched.b", "tickglass.sched.c"]
    assert circle_of({path: tree for path, tree in ring.items() if path != "sched/c.py"}) == []


def test_a_circle_through_what_a_package_exports_again_is_seen() -> None:
    ring = {
        "sched/ports/__init__.py": parsed("", "from tickglass.sched.ports.ledger import Ledger"),
        "sched/ports/ledger.py": parsed("", "from tickglass.sched.ports import Lease"),
    }
    assert circle_of(ring) == ["tickglass.sched.ports", "tickglass.sched.ports.ledger"]


def circle_of(trees: Mapping[str, ast.Module]) -> list[str]:
    return circle_in(module_graph(imports_in(trees), frozenset(module_of(path) for path in trees)))


def parsed(guard: str, line: str) -> ast.Module:
    """Return the line as a module, under the guard if there is one."""
    return ast.parse(guard + "".join(f"    {part}\n" for part in line.split("\n")) if guard else line)
