"""The cases notice when a rule is spoiled. Here a few slips per rule; `make mutants` tries them all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
from kit import promtool
from kit.mutants import mutants

from tickglass.alerts import alerts

if TYPE_CHECKING:
    from pathlib import Path

ALERTS: Final = [alert.name for alert in alerts()]
# The graver slips, one of each kind per rule; the slow burn's cases last for hours, and are left to `make mutants`.
SLIPS: Final = (
    r"[<>=]+ at \d+ became [<>!]",
    r"[\d.]+ at \d+ became",
    r"the aggregation at \d+ went missing",
    r"by \(.*\) at 0 became",
    r"'(and|or|unless) .*' went missing",
    r"for became",
    r"for went missing",
    r"label severity became",
)


@pytest.mark.parametrize("alert", [alert for alert in ALERTS if alert != "TickglassOnTimeBudgetBurnSlow"])
def test_the_cases_notice_a_slip_of_each_kind(alert: str, tmp_path: Path) -> None:
    spoiled = {}
    possible = dict(mutants(promtool.rule_documents()[alert]))
    for slip in SLIPS:
        found = next((name for name in possible if re.match(slip, name) and not promtool.same(alert, name)), None)
        if found is not None:
            spoiled[found] = possible[found]
    assert promtool.survivors(tmp_path, alert, spoiled) == []


def test_a_mutant_is_not_what_it_was() -> None:
    for rule in promtool.rule_documents().values():
        for name, spoiled in mutants(rule):
            assert spoiled != rule, name
