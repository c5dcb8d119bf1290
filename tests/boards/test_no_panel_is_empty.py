"""A real Prometheus scrapes a real fleet in which everything happens: then every query of every board has an answer."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest
from boards.asking import Asking
from boards.fleet import SCRAPES
from boards.reading import UIDS, Asked, asked, generated
from instances import wait_until

from tickglass.dashboards import Scope, boards

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servers import Prometheus

PICKED: Final[Mapping[str, Mapping[str, str]]] = {
    "everything": {},
    "one service": {"service": "billing"},
}
OF_SIDECARS: Final = {
    (board.uid, panel.title) for board in boards(Scope()) for panel in board.panels() if panel.sidecar
}


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
    assert theirs["job_name"] == theirs["resource"] == ["mail"]
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
