"""Which class an outcome is of, and that every table of outcomes has all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tickglass.cli import demo_table, watch_screen
from tickglass.cli.commands import inspect
from tickglass.dashboards import jobs
from tickglass.sched.occurrence import DID_NOT_RUN, ENDINGS, FAILURES, NEUTRAL, OccurrenceState, Outcome
from tickglass.telemetry import logs
from tickglass.telemetry.sidecar.explain import tones, why

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLES: dict[str, Mapping[Any, object]] = {
    "styles of the demo and the watch screen": demo_table.OUTCOME_STYLES,
    "styles of the command line": inspect._STYLES,
    "letters": watch_screen._LETTERS,
    "colours of the boards": dict(jobs._OUTCOMES),
    "levels of the log": logs._OUTCOME_LEVELS,
    "tones": tones._OUTCOMES,
    "icons": tones._ICONS,
    "sentences": why.OUTCOMES,
}


def test_every_outcome_is_of_one_class() -> None:
    assert sorted([Outcome.SUCCESS, *FAILURES, *DID_NOT_RUN, *NEUTRAL]) == sorted(Outcome)


def test_the_classes_are_those_that_operators_are_told_of() -> None:
    assert FAILURES == ("failure", "timeout", "lost", "orphaned")
    assert DID_NOT_RUN == ("missed", "skipped")
    assert NEUTRAL == ("cancelled", "elsewhere")


def test_what_ran_ends_as_a_running_occurrence_can() -> None:
    ran = {outcome for outcome in Outcome if outcome.ran}
    assert ran == ENDINGS[OccurrenceState.RUNNING]
    assert not any(outcome.did_not_run for outcome in ran)
    assert {outcome for outcome in Outcome if outcome.is_failure} - ran == {Outcome.ORPHANED}


def test_an_outcome_of_a_later_version_is_of_no_class() -> None:
    assert "postponed" not in (*FAILURES, *DID_NOT_RUN, *NEUTRAL)
    assert "failure" in FAILURES


@pytest.mark.parametrize("name", TABLES)
def test_every_table_of_outcomes_has_all_of_them(name: str) -> None:
    assert set(Outcome) <= set(TABLES[name])
