"""A real Prometheus scrapes a real fleet in which everything happens: then boards, rules and runbooks have answers.

A panel or a rule that names a label that nothing has, or matches on one, is silent for ever, and no made-up series
would tell.
"""

from __future__ import annotations

import re
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import promql_parser
import pytest
from boards.asking import Asking
from boards.fleet import SCRAPES, Fleet
from boards.reading import UIDS, Asked, asked, generated
from kit.expressions import EXPRESSIONS, selectors
from kit.processes import wait_until
from kit.promql_needs import needs
from kit.servers import Prometheus, RedisServer, running_prometheus

from tickglass.alerts import Links, RuleScope, files
from tickglass.alerts.export import RULES, runbooks
from tickglass.dashboards import BoardScope, boards
from tickglass.telemetry.metric import OVERFLOW, Detail
from tickglass.telemetry.metrics import SINK_METRICS
from tickglass.telemetry.sidecar.collector import SIDECAR_METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("boards")

PICKED: Final[Mapping[str, Mapping[str, str]]] = {
    "everything": {},
    "one service": {"service": "billing"},
}
OF_SIDECARS: Final = {
    (board.uid, panel.title) for board in boards(BoardScope()) for panel in board.panels() if panel.sidecar
}
QUERIES: Final = EXPRESSIONS | {
    f"{page}, {number}": query.strip()
    for page, text in runbooks().items()
    for number, query in enumerate(re.findall(r"```promql\n(.*?)```", text, re.DOTALL), 1)
}
ONLY_SIDECARS: Final = {metric.name for metric in SIDECAR_METRICS} - {metric.name for metric in SINK_METRICS}


def config(ports: list[int], rules: Path) -> str:
    targets = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
    return (
        "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
        f"rule_files: ['{rules}']\n"
        "scrape_configs:\n"
        f"- {{job_name: tickglass, static_configs: [{{targets: [{targets}]}}], honor_labels: true}}\n"
    )


@pytest.fixture(scope="module", params=Detail)
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Prometheus]]:
    """One Prometheus for each way in which series come, and a fleet in which everything has happened."""
    with ExitStack() as running:
        redis = RedisServer(tmp_path_factory.mktemp("redis"))
        running.callback(redis.end)
        redis.start()
        fleet = Fleet(tmp_path_factory.mktemp("fleet"), redis, running, request.param)
        ports = {SCRAPES[0]: [member.port for member in fleet.members], SCRAPES[1]: [fleet.sidecar.port]}
        started = {}
        for how in SCRAPES:
            home = tmp_path_factory.mktemp("prometheus")
            rules = files(RuleScope(), Links())[RULES]  # those that are evaluated once an hour, at once
            (home / RULES).write_text(re.sub(r"^  interval: .*\n", "", rules, flags=re.MULTILINE))
            started[how] = running.enter_context(running_prometheus(home, config(ports[how], home / RULES)))
        for how, server in started.items():  # they have seen zeros before anything is counted
            wait_until(partial(scraped, server, len(ports[how])), "not all are scraped")
        fleet.everything_happens()
        yield started


def scraped(server: Prometheus, count: int) -> bool:
    return len(server.query("up == 1")) == count


@pytest.mark.parametrize("picked", PICKED)
@pytest.mark.parametrize("how", SCRAPES)
@pytest.mark.parametrize("uid", UIDS)
def test_no_panel_is_empty(servers: dict[str, Prometheus], uid: str, how: str, picked: str) -> None:
    board = generated(uid)
    without = OF_SIDECARS if how == "themselves" else set()
    wanted = [query for query in asked(board) if (uid, query.panel.get("title")) not in without]
    empty: list[str] = []

    def all_answered() -> bool:
        """Some things are there only now and then: a run that overruns, say."""
        asking = Asking(servers[how], board, PICKED[picked])
        empty[:] = [query.where for query in wanted if not _answered(asking, query)]
        return not empty

    with suppress(AssertionError):
        wait_until(all_answered, "some panels are empty", patience_s=20)
    assert empty == []


def _answered(asking: Asking, query: Asked) -> bool:
    """Whether some series has the labels that the panel names things by."""
    needed = set(re.findall(r"{{(\w+)}}", query.legend))
    if query.panel.get("type") == "table" and query.where.endswith(", A"):
        names = query.panel["transformations"][-1]["options"]["renameByName"]
        needed = {name for name in names if not name.startswith("Value")} - {"version"}  # another query's
    if "instance" in needed and query.panel.get("type") != "table":
        needed -= {"owner"}  # an instance that is scraped itself needs no other name
    return any(needed <= each["metric"].keys() for each in asking.series(query))


@pytest.mark.parametrize("how", SCRAPES)
def test_what_belongs_to_another_service_is_not_listed(servers: dict[str, Prometheus], how: str) -> None:
    board = generated("tickglass-jobs")
    everything = Asking(servers[how], board, {}).listed
    assert everything["service"] == ["billing", "mail"]
    assert {"tick", "mail"} <= set(everything["job_name"])
    ours = Asking(servers[how], board, {"service": "billing"}).listed
    theirs = Asking(servers[how], board, {"service": "mail"}).listed
    assert set(theirs["job_name"]) - {OVERFLOW} == {"mail"}
    assert set(theirs["resource"]) - {OVERFLOW} == {"mail/mail"}
    assert set(ours["job_name"]) == set(everything["job_name"]) - {"mail"}
    assert "ledger" in ours["resource"]
    assert len(ours["instance"]) == (2 if how == "themselves" else 1)


@pytest.mark.parametrize("uid", UIDS)
def test_every_exemplar_query_has_the_traces_of_runs(servers: dict[str, Prometheus], uid: str) -> None:
    board = generated(uid)
    asking = Asking(servers[SCRAPES[0]], board, {})
    for query in asked(board):
        targets = [each for each in query.panel.get("targets", []) if each["expr"] == query.expr]
        if any(target["exemplar"] for target in targets):
            assert all(len(trace) == 32 for trace in asking.exemplars(query)), query.where
            assert asking.exemplars(query), query.where


def needed(how: str) -> dict[str, list[str]]:
    """Return what must have an answer, by who asks."""
    without = {name + part for name in ONLY_SIDECARS for part in ("", "_bucket")} if how == SCRAPES[0] else set()
    named = {name: {one.name for one in selectors(promql_parser.parse(expr))} for name, expr in QUERIES.items()}
    found = {name: needs(expr) for name, expr in QUERIES.items() if not named[name] & without}
    if how == SCRAPES[0]:
        return found
    # A sidecar's series have an owner; what asks for those without one is about schedulers that are scraped themselves.
    return {name: [expr for expr in exprs if 'owner=""' not in expr] for name, exprs in found.items()}


@pytest.mark.parametrize("how", SCRAPES)
def test_what_rules_and_runbooks_ask_has_an_answer(servers: dict[str, Prometheus], how: str) -> None:
    asking = Asking(servers[how], {"templating": {"list": []}}, {})
    left = {(name, expr) for name, exprs in needed(how).items() for expr in exprs}

    def all_answered() -> bool:
        """Some things are there only now and then: a run that overruns, say."""
        left.difference_update([one for one in left if asking.series(Asked(*one, "", instant=False, panel={}))])
        return not left

    with suppress(AssertionError):
        wait_until(all_answered, "some have no answer", patience_s=20)
    assert sorted(left) == []
