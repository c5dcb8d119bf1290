"""Queries about jobs: the same for boards and for rules. What they answer is in tests/alerts and tests/boards."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import promql_parser
import pytest

from tickglass.alerts import RuleScope
from tickglass.dashboards import BoardScope
from tickglass.telemetry.queries.jobs import (
    due_here,
    failures_in_a_row,
    oldest_run,
    on_time_share,
    owed_for,
    owed_long,
    owed_since,
)
from tickglass.telemetry.queries.selector import on_one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.telemetry.queries.selector import Selector

QUERIES: dict[str, Callable[[Selector], str]] = {
    "due_here": lambda scope: due_here(scope, "rate", "5m", "job_name"),
    "failures_in_a_row": failures_in_a_row,
    "oldest_run": oldest_run,
    "on_time_share": lambda scope: on_time_share(scope, "rate", "5m", "job_name"),
    "on_time_share of all jobs": lambda scope: on_time_share(scope, "increase", "5m"),
    "owed_for": owed_for,
    "owed_long": lambda scope: owed_long(scope, owed_for(scope), owed_since(scope)),
    "owed_since": owed_since,
}


def skeleton(expr: str) -> str:
    """Return an expression without what a reader picks, and without how far back it looks."""
    bare = re.sub(r"\{[^}]*\}", "", on_one_line(expr))
    return re.sub(r"last_over_time\((\w+)\[1h\]\)", r"\1", bare)


@pytest.mark.parametrize("name", QUERIES)
def test_boards_and_rules_ask_the_same(name: str) -> None:
    rule, board = QUERIES[name](RuleScope()), QUERIES[name](BoardScope())
    assert skeleton(rule) == skeleton(board)
    assert promql_parser.parse(rule) is not None
    assert promql_parser.parse(on_one_line(board)) is not None


def test_a_limit_stands_before_what_excuses_a_job() -> None:
    matching = "on (cluster, namespace, service, job_name)"
    limited = owed_long(RuleScope(), "owed", "since", longer_than="(60)")
    assert limited.startswith(f"owed\n> {matching}\n(60)\nunless {matching}\n(\n")
    assert limited.replace(f"> {matching}\n(60)\n", "") == owed_long(RuleScope(), "owed", "since")


@pytest.mark.parametrize("scope", [RuleScope(), BoardScope()])
def test_a_job_is_told_from_one_of_the_same_name_by_its_service_and_what_the_operator_keeps(scope: Selector) -> None:
    assert scope.by_job == ("cluster", "namespace", "service", "job_name")
    assert replace(scope, keep=("region",)).by_job == ("region", "service", "job_name")
    assert "by (service, job_name)" in failures_in_a_row(replace(scope, keep=()))
