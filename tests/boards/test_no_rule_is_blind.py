"""A real Prometheus scrapes a real fleet in which everything happens: then what rules and runbooks ask has an answer.

A rule that names a label that nothing has, or matches on one, is silent for ever, and no made-up series would tell.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import promql_parser
import pytest
from blunt import needs
from boards.asking import Asking
from boards.fleet import SCRAPES
from boards.reading import Asked
from expressions import EXPRESSIONS, selectors
from instances import wait_until

from tickglass.alerts.written import runbooks
from tickglass.telemetry.metrics import SINK_METRICS
from tickglass.telemetry.sidecar.collector import SIDECAR_METRICS

if TYPE_CHECKING:
    from servers import Prometheus

QUERIES: Final = EXPRESSIONS | {
    f"{page}, {number}": query.strip()
    for page, text in runbooks().items()
    for number, query in enumerate(re.findall(r"```promql\n(.*?)```", text, re.DOTALL), 1)
}
ONLY_SIDECARS: Final = {metric.name for metric in SIDECAR_METRICS} - {metric.name for metric in SINK_METRICS}


def needed(how: str) -> dict[str, list[str]]:
    """Return what must have an answer, by who asks."""
    without = {name + part for name in ONLY_SIDECARS for part in ("", "_bucket")} if how == SCRAPES[0] else set()
    named = {name: {one.name for one in selectors(promql_parser.parse(expr))} for name, expr in QUERIES.items()}
    return {name: needs(expr) for name, expr in QUERIES.items() if not named[name] & without}


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
