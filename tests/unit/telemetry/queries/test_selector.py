"""Selectors and aggregations, as boards and rules write them."""

from __future__ import annotations

import promql_parser
import pytest

from tickglass.alerts import RuleScope
from tickglass.dashboards import BoardScope
from tickglass.telemetry import catalogue
from tickglass.telemetry.queries.selector import Selector, aggregate, none_of, on_one_line, one_of

SCOPES = (RuleScope(), BoardScope())


def test_an_expression_fits_on_one_line_without_a_change_of_its_values() -> None:
    inner = aggregate("max", ("a",), 'x{b="( c )"}\nunless\ny')
    assert on_one_line(aggregate("sum", (), inner)) == 'sum(max by (a) (x{b="( c )"} unless y))'
    assert on_one_line("a\n/ b") == "a / b"


@pytest.mark.parametrize("scope", SCOPES)
def test_every_aggregation_can_be_read(scope: Selector) -> None:
    for expr in (
        scope.max_by(catalogue.JOB_RUNNING, "job_name"),
        scope.sum_by(catalogue.JOB_RUNNING),
        scope.max_last_hour(catalogue.JOB_NEXT, "job_name"),
        scope.last_known(catalogue.JOB_NEXT, "job_name"),
        scope.increase_by(catalogue.JOB_OUTCOMES, "outcome", window="5m"),
        scope.rate_by(catalogue.JOB_LATENESS, "le", window="5m", part="bucket", le=scope.on_time_bound),
    ):
        assert promql_parser.parse(expr) is not None


def test_a_matcher_may_name_several_values() -> None:
    some = RuleScope().series(catalogue.JOB_OUTCOMES, outcome=one_of(("missed", "skipped")))
    others = RuleScope().series(catalogue.JOB_OUTCOMES, outcome=none_of(("missed", "skipped")))
    assert some == 'tickglass_job_outcomes_total{outcome=~"missed|skipped"}'
    assert others == 'tickglass_job_outcomes_total{outcome!~"missed|skipped"}'


@pytest.mark.parametrize("scope", SCOPES)
def test_what_the_catalogue_does_not_have_is_refused(scope: Selector) -> None:
    with pytest.raises(ValueError, match="never"):
        scope.series(catalogue.JOB_OUTCOMES, outcome=one_of(("missed", "won")))
    with pytest.raises(ValueError, match="no label pool"):
        scope.sum_by(catalogue.JOB_RUNNING, "pool")
    with pytest.raises(ValueError, match="no part"):
        scope.series(catalogue.JOB_LATENESS)


def test_an_operators_selector_reaches_boards_and_rules() -> None:
    wanted = 'cluster="eu"'
    for scope in (RuleScope(selector=wanted), BoardScope(selector=wanted)):
        assert wanted in scope.series(catalogue.JOB_RUNNING)
