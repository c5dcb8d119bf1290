"""What is where: how many modules a room holds, which suite a module has, what lies at the root."""

from __future__ import annotations

import ast
import subprocess
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import pytest
from kit.import_graph import imports_in, module_graph, module_of, shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

ROOM_MODULES_MAX: Final = 16  # more than that are not found by reading the names
AT_THE_ROOT: Final = frozenset(
    {
        ".ci",
        ".gitignore",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "SECURITY.md",
        "alerts",
        "bench",
        "dashboards",
        "docs",
        "examples",
        "pyproject.toml",
        "sched",
        "src",
        "telemetry",
        "tests",
        "tools",
    }
)
# Where the suites of a folder's modules are, the longest name that fits decides.
SUITES_OF: Final[Mapping[str, str]] = {
    "alerts": "tests/alerts",
    "dashboards": "tests/boards",
    "sched": "tests/unit",
    "src/tickglass": "tests/unit",
    "telemetry": "tests/unit/telemetry",
}
# Modules without a suite of their name, by the suite that tests them beside its own.
TESTED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "tests/alerts/test_rules.py": (
        "alerts/alertmanager.py",
        "alerts/budget.py",
        "alerts/export.py",
        "alerts/jobs.py",
        "alerts/locks.py",
        "alerts/presence.py",
        "alerts/reference.py",
        "alerts/rule.py",
        "alerts/rulebook.py",
        "alerts/scheduler.py",
        "alerts/scope.py",
        "alerts/shares.py",
        "alerts/sidecar.py",
        "telemetry/thresholds.py",
    ),
    "tests/boards/test_boards.py": (
        "dashboards/fields.py",
        "dashboards/grafana.py",
        "dashboards/jobs.py",
        "dashboards/lateness.py",
        "dashboards/leases.py",
        "dashboards/locks.py",
        "dashboards/model.py",
        "dashboards/overview.py",
        "dashboards/reference.py",
        "dashboards/scheduler.py",
        "dashboards/scope.py",
        "dashboards/shared_panels.py",
        "dashboards/sidecars.py",
        "dashboards/telemetry_health.py",
    ),
    "tests/boards/test_export.py": ("src/tickglass/cli/commands/dashboards.py",),
    "tests/contract/test_control.py": ("sched/ports/control.py",),
    "tests/contract/test_layouts.py": (
        "sched/stores/etcd/layout.py",
        "sched/stores/etcd/migration.py",
        "sched/stores/redis/layout.py",
        "sched/stores/sqlite/migration.py",
    ),
    "tests/contract/test_claim_feed.py": ("sched/ports/claim_feed.py",),
    "tests/contract/test_ledger.py": ("sched/ports/ledger.py", "sched/stores/run_times.py"),
    "tests/contract/test_lock_store.py": ("sched/ports/locks.py", "sched/stores/watchers.py"),
    "tests/contract/test_store_observer.py": ("sched/ports/observers.py",),
    "tests/unit/cli/commands/test_acts.py": ("src/tickglass/cli/act_options.py", "src/tickglass/cli/act_text.py"),
    "tests/unit/cli/commands/test_alerts.py": ("src/tickglass/cli/query_options.py",),
    "tests/unit/cli/commands/test_inspect.py": ("src/tickglass/cli/envvars.py", "src/tickglass/cli/numbers.py"),
    "tests/unit/cli/commands/test_plan.py": ("src/tickglass/cli/plan_text.py",),
    "tests/unit/cli/commands/test_run.py": ("src/tickglass/signals.py",),
    "tests/unit/cli/commands/test_watch.py": (
        "src/tickglass/cli/sidecar_client.py",
        "src/tickglass/cli/watch_screen.py",
    ),
    "tests/unit/cli/test_escapes.py": ("sched/escaping.py", "src/tickglass/cli/demo_table.py"),
    "tests/unit/cli/test_main.py": ("src/tickglass/cli/lazy_group.py",),
    "tests/unit/cli/commands/test_instances.py": ("src/tickglass/cli/tables.py",),
    "tests/unit/command/test_process.py": ("src/tickglass/command/ending.py",),
    "tests/unit/control/test_operator.py": (
        "sched/control/acts.py",
        "sched/control/audit.py",
        "src/tickglass/control.py",
    ),
    "tests/unit/control/test_order_book.py": ("sched/control/orders.py",),
    "tests/unit/engine/control/test_obeying.py": (
        "sched/engine/control/cancels.py",
        "sched/engine/control/manual_runs.py",
        "sched/engine/control/order_watch.py",
        "sched/engine/standing_orders.py",
    ),
    "tests/unit/domain/test_clock.py": ("src/tickglass/testing.py",),
    "tests/unit/domain/test_fencing.py": (
        "sched/fencing/etcd.py",
        "sched/fencing/redis.py",
        "sched/fencing/sql.py",
        "sched/fencing/writer.py",
    ),
    "tests/unit/domain/test_job.py": ("sched/durations.py", "sched/run.py"),
    "tests/unit/domain/test_state_machines.py": ("sched/events.py", "sched/lifecycle.py", "sched/state_machine.py"),
    "tests/unit/engine/leasing/test_thread_cache.py": ("sched/engine/leasing/renewer.py",),
    "tests/unit/engine/locking/test_lock_wait.py": (
        "sched/engine/locking/acquisition.py",
        "sched/engine/locking/wait_queue.py",
    ),
    "tests/unit/engine/locking/test_manual_lock.py": ("sched/engine/locking/held_lease.py", "sched/lock_terms.py"),
    "tests/unit/engine/membership/test_preferred.py": ("sched/engine/membership/head_start.py",),
    "tests/unit/engine/running/test_execution.py": (
        "sched/engine/running/claim.py",
        "sched/engine/running/dispatcher.py",
        "sched/engine/running/run_lease.py",
        "sched/engine/running/settlement.py",
    ),
    "tests/unit/engine/test_bad_days.py": ("sched/engine/foreign_errors.py",),
    "tests/unit/engine/test_broadcast.py": ("sched/ports/events.py",),
    "tests/unit/engine/planning/test_overlaps.py": ("sched/engine/planning/plan.py",),
    "tests/unit/engine/planning/test_enrolment.py": ("sched/engine/planning/upcoming.py",),
    "tests/unit/engine/planning/test_planner.py": ("sched/engine/planning/trigger_calls.py",),
    "tests/unit/engine/test_engine.py": ("sched/engine/context.py",),
    "tests/unit/engine/test_readiness.py": ("sched/engine/running/loop_lag.py",),
    "tests/unit/engine/test_wrong_clocks.py": ("sched/engine/timing/clock_skew.py",),
    "tests/unit/executors/test_executor.py": ("sched/executors/threads.py", "sched/ports/executor.py"),
    "tests/unit/engine/running/test_batches.py": ("sched/engine/running/claimer.py",),
    "tests/unit/stores/test_registry.py": ("sched/stores/memory/url.py",),
    "tests/unit/stores/etcd/test_store.py": (
        "sched/stores/etcd/claim_state.py",
        "sched/stores/etcd/client.py",
        "sched/stores/etcd/keys.py",
        "sched/stores/etcd/lease_pool.py",
        "sched/stores/etcd/locks.py",
        "sched/stores/etcd/observer.py",
        "sched/stores/etcd/watch.py",
    ),
    "tests/unit/stores/etcd/test_url.py": ("sched/stores/etcd/settings.py",),
    "tests/contract/test_membership.py": (
        "sched/ports/membership.py",
        "sched/stores/etcd/instances.py",
        "sched/stores/redis/instances.py",
    ),
    "tests/unit/stores/redis/test_rights.py": ("sched/stores/redis/scripts.py",),
    "tests/unit/stores/redlock/test_quorum.py": ("sched/stores/redlock/outgoing.py",),
    "tests/unit/stores/redlock/test_store.py": ("sched/stores/redlock/scripts.py",),
    "tests/unit/stores/sqlite/test_against_memory.py": (
        "sched/stores/memory/attempt_table.py",
        "sched/stores/memory/instance_table.py",
        "sched/stores/memory/control_log.py",
        "sched/stores/memory/lease_table.py",
        "sched/stores/memory/store.py",
        "sched/stores/sqlite/statements.py",
    ),
    "tests/unit/stores/sqlite/test_store.py": (
        "sched/stores/sqlite/file.py",
        "sched/stores/sqlite/prune.py",
        "sched/stores/sqlite/schema.py",
    ),
    "tests/unit/stores/test_spool.py": ("sched/ports/spool.py",),
    "tests/unit/telemetry/endpoint/test_apps.py": ("telemetry/endpoint/collector.py",),
    "tests/unit/telemetry/endpoint/test_exporter.py": ("telemetry/endpoint/access.py",),
    "tests/unit/telemetry/sidecar/merge/test_locks.py": (
        "telemetry/sidecar/merge/jobs.py",
        "telemetry/sidecar/merge/occurrences.py",
        "telemetry/sidecar/merge/scheduler_status.py",
    ),
    "tests/unit/telemetry/sidecar/schedulers/test_history.py": (
        "telemetry/sidecar/schedulers/job_history.py",
        "telemetry/sidecar/schedulers/lock_history.py",
    ),
    "tests/unit/telemetry/sidecar/test_collector.py": ("telemetry/sidecar/view.py",),
    "tests/unit/telemetry/sidecar/web/api/test_routes.py": (
        "telemetry/sidecar/web/api/answers.py",
        "telemetry/sidecar/web/api/endpoints.py",
        "telemetry/sidecar/web/control/asks.py",
        "telemetry/sidecar/web/control/desks.py",
        "telemetry/sidecar/web/control/ledger.py",
        "telemetry/sidecar/web/problem_details.py",
    ),
    "tests/unit/telemetry/sidecar/web/history/test_routes.py": ("telemetry/sidecar/web/history/runs.py",),
    "tests/unit/telemetry/sidecar/web/test_access.py": ("telemetry/endpoint/operators.py",),
    "tests/unit/telemetry/sidecar/web/test_app.py": (
        "telemetry/sidecar/web/auth_middleware.py",
        "telemetry/sidecar/web/messages.py",
    ),
    "tests/unit/telemetry/test_catalogue.py": (
        "telemetry/catalogue/control.py",
        "telemetry/catalogue/declare.py",
        "telemetry/catalogue/internals.py",
        "telemetry/catalogue/jobs.py",
        "telemetry/catalogue/locks.py",
        "telemetry/catalogue/sidecar.py",
        "telemetry/label_values.py",
        "telemetry/metric.py",
        "telemetry/reference.py",
    ),
    "tests/unit/telemetry/test_metrics.py": ("telemetry/interval.py",),
    "tests/unit/telemetry/test_scrapes.py": (
        "telemetry/series/families.py",
        "telemetry/series/group.py",
        "telemetry/series/instruments.py",
    ),
    "tests/unit/telemetry/test_spans.py": ("sched/ports/tracing.py", "telemetry/tracing/run_ids.py"),
    "tests/unit/telemetry/tracing/test_provider.py": ("telemetry/tracing/otlp.py",),
    "tests/unit/importing/test_apscheduler.py": (
        "src/tickglass/importing/apscheduler_calls.py",
        "src/tickglass/importing/targets.py",
    ),
    "tests/unit/importing/test_crontab.py": ("src/tickglass/importing/crontab_lines.py",),
    "tests/unit/locks/test_shared_store.py": ("src/tickglass/locks/shared_locks.py",),
    "tests/unit/test_public_modules.py": (
        "src/tickglass/clock.py",
        "src/tickglass/events.py",
        "src/tickglass/fencing.py",
    ),
    "tests/unit/executors/test_event_loop.py": ("sched/executors/job_loop.py",),
    "tests/unit/test_scheduler.py": ("src/tickglass/parts.py", "src/tickglass/sinks.py"),
    "tests/unit/triggers/test_at.py": ("sched/triggers/iso.py",),
    "tests/unit/triggers/test_cron.py": ("sched/triggers/aliases.py", "sched/triggers/expression.py"),
    "tests/unit/triggers/test_dst.py": ("sched/triggers/wall.py",),
    "tests/unit/triggers/test_fields.py": ("sched/triggers/source_span.py",),
    "tests/unit/triggers/test_refusals.py": ("sched/errors.py", "sched/triggers/shape.py", "sched/triggers/zones.py"),
}


def is_package(path: str) -> bool:
    return PurePosixPath(path).name in {"__init__.py", "__main__.py"}


def only_exports(tree: ast.Module) -> bool:
    """Whether a module has nothing of its own: a docstring, imports and `__all__`."""
    kinds = {ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr}
    own = [name for node in ast.walk(tree) if isinstance(node, ast.Name) and (name := node.id) != "__all__"]
    return {type(node) for node in tree.body} <= kinds and not own


def crowded(paths: list[str]) -> dict[str, int]:
    rooms = Counter(str(PurePosixPath(path).parent) for path in paths if not is_package(path))
    return {room: modules for room, modules in rooms.items() if modules > ROOM_MODULES_MAX}


def suite_of(path: str) -> str:
    """Return the path of the suite that has the name of a module."""
    file = PurePosixPath(path)
    if file.parent == PurePosixPath("sched"):
        return f"tests/unit/domain/test_{file.name}"
    folder = next(folder for folder in SUITES_OF if file.is_relative_to(folder))
    return str(PurePosixPath(SUITES_OF[folder], file.relative_to(folder).parent, f"test_{file.name}"))


def test_no_room_is_crowded(trees: dict[str, ast.Module]) -> None:
    found = crowded(list(shipped(trees)))
    assert found == {}


def test_a_crowded_room_is_seen() -> None:
    full = [f"sched/engine/module_{number}.py" for number in range(16)]
    assert crowded([*full, "sched/engine/__init__.py", "sched/job.py", "sched/engine/timing/timers.py"]) == {}
    assert crowded([*full, "sched/engine/one_more.py"]) == {"sched/engine": 17}


def test_every_module_has_a_suite(trees: dict[str, ast.Module]) -> None:
    assert without_suite(trees, TESTED_BY) == [], "write a suite of the module's name, or a line in TESTED_BY"


def test_no_line_of_the_table_is_too_much(trees: dict[str, ast.Module]) -> None:
    rows = [path for paths in TESTED_BY.values() for path in paths]
    assert [path for path in rows if path not in trees] == [], "no such module"
    assert [path for path in rows if suite_of(path) in trees] == [], "has a suite of its name"
    assert [path for path, times in Counter(rows).items() if times > 1] == [], "one suite is enough"


def test_every_suite_of_the_table_exists_and_knows_its_modules(trees: dict[str, ast.Module]) -> None:
    assert [suite for suite in TESTED_BY if suite not in trees] == []
    reach = Reach(trees)
    strangers = [
        f"{suite} does not know {path}"
        for suite, paths in TESTED_BY.items()
        for path in sorted(set(paths) - reach.of(suite))
    ]
    assert strangers == []


def without_suite(trees: Mapping[str, ast.Module], table: Mapping[str, tuple[str, ...]]) -> list[str]:
    listed = {path for paths in table.values() for path in paths}
    modules = [path for path, tree in shipped(trees).items() if not is_package(path) and not only_exports(tree)]
    return [path for path in modules if suite_of(path) not in trees and path not in listed]


class Reach:
    """Which modules each suite gets at, read off the imports of all."""

    def __init__(self, trees: Mapping[str, ast.Module]) -> None:
        paths = {module_of(path): path for path in trees}
        graph = module_graph(imports_in(trees), frozenset(paths))
        self._graph = {
            path: {paths[used] for used in graph[module]} | {paths[used] for used in _named(trees[path]) & paths.keys()}
            for module, path in paths.items()
        }

    def of(self, suite: str) -> set[str]:
        """Return the modules that a suite imports, itself or through helpers, and what these need.

        That is all of it in their own room, and the next module elsewhere.
        """
        conftests = {str(folder / "conftest.py") for folder in PurePosixPath(suite).parents}
        imported = self._closed({suite, *conftests} & set(self._graph), _is_passed_through)
        inside = self._closed(imported, lambda user, used: _room(user) == _room(used) or is_package(user))
        beside = {used for user in inside for used in self._graph[user]}
        return self._closed(inside | beside, lambda user, _used: is_package(user))

    def _closed(self, start: set[str], goes_on: Callable[[str, str], bool]) -> set[str]:
        found, todo = set(start), list(start)
        while todo:
            user = todo.pop()
            new = {used for used in self._graph[user] if goes_on(user, used)} - found
            found |= new
            todo.extend(new)
        return found


def _named(tree: ast.Module) -> set[str]:
    """Return the modules that a module names in a text, as commands that are loaded late are: "tickglass.x.y:name"."""
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {text.partition(":")[0] for text in texts if text.startswith("tickglass.")}


def _is_passed_through(user: str, _used: str) -> bool:
    return user.startswith("tests/") or is_package(user)


def _room(path: str) -> PurePosixPath:
    return PurePosixPath(path).parent


def test_a_module_without_a_suite_is_seen() -> None:
    paths = ("sched/engine/context.py", "sched/job.py", "tests/unit/domain/test_job.py")
    trees = {path: ast.parse("A = 1") for path in paths}
    assert without_suite(trees, {}) == ["sched/engine/context.py"]
    assert without_suite(trees, {"tests/unit/engine/test_engine.py": ("sched/engine/context.py",)}) == []
    assert without_suite(trees | {"tests/unit/engine/test_context.py": ast.parse("")}, {}) == []


@pytest.mark.parametrize(
    ("text", "exports"),
    [
        ('"""Public."""\nfrom a import b\n\n__all__ = ["b"]', True),
        ("from a import b\nC = b", False),
        ("from a import b\ndef c(): pass", False),
        ("from a import b\nclass C: pass", False),
        ("from a import b\nb()", False),
    ],
)
def test_a_module_that_only_exports_is_told_from_others(text: str, exports: bool) -> None:  # noqa: FBT001 - a column
    assert only_exports(ast.parse(text)) is exports


@pytest.mark.parametrize(
    ("path", "suite"),
    [
        ("sched/job.py", "tests/unit/domain/test_job.py"),
        ("sched/stores/redis/urls.py", "tests/unit/stores/redis/test_urls.py"),
        ("telemetry/sidecar/web/hub.py", "tests/unit/telemetry/sidecar/web/test_hub.py"),
        ("src/tickglass/locks/lock.py", "tests/unit/locks/test_lock.py"),
        ("src/tickglass/cli/text.py", "tests/unit/cli/test_text.py"),
        ("dashboards/boards.py", "tests/boards/test_boards.py"),
        ("alerts/promql.py", "tests/alerts/test_promql.py"),
    ],
)
def test_a_suite_is_where_its_module_is(path: str, suite: str) -> None:
    assert suite_of(path) == suite


def test_a_suite_knows_what_it_imports_and_what_that_needs() -> None:
    trees = {
        "tests/unit/test_a.py": ast.parse("from kit.rig import Rig"),
        "tests/kit/rig.py": ast.parse("from tickglass.sched.engine import engine"),
        "sched/engine/engine.py": ast.parse("from tickglass.sched.engine.near import a\nimport tickglass.sched.lease"),
        "sched/engine/near.py": ast.parse(
            "from tickglass.sched.engine.nearer import b; c = 'tickglass.sched.engine.late:d'"
        ),
        "sched/engine/nearer.py": ast.parse(""),
        "sched/engine/other.py": ast.parse(""),
        "sched/engine/late.py": ast.parse(""),
        "sched/lease.py": ast.parse("from tickglass.sched.errors import ConfigError"),
        "sched/errors.py": ast.parse(""),
    }
    known = {path for path in Reach(trees).of("tests/unit/test_a.py") if path.startswith("sched/")}
    assert known == {
        "sched/engine/engine.py",
        "sched/engine/late.py",
        "sched/engine/near.py",
        "sched/engine/nearer.py",
        "sched/lease.py",
    }


def at_the_root(root: Path) -> set[str]:
    """Return what git has or would add there, not what .gitignore names."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    return {PurePosixPath(name).parts[0] for name in listed.split("\0") if name}


def test_nothing_lies_at_the_root_that_does_not_belong_there(root: Path) -> None:
    if not (root / ".git").exists():
        pytest.skip("not a clone")
    assert sorted(at_the_root(root) - AT_THE_ROOT) == [], "put it into a folder, or into AT_THE_ROOT"
    assert sorted(AT_THE_ROOT - at_the_root(root)) == [], "gone by now: take it off the table"


def test_a_note_at_the_root_is_seen(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "NOTE.txt").touch()
    (tmp_path / "build").mkdir()
    (tmp_path / "build/made").touch()
    (tmp_path / ".gitignore").write_text("build/\n")
    assert at_the_root(tmp_path) - AT_THE_ROOT == {"NOTE.txt"}
