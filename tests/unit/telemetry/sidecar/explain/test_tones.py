from __future__ import annotations

import pytest

from tickglass.sched.occurrence import Outcome
from tickglass.telemetry.sidecar.explain.tones import Tone, icon_of, instance_tone, tone_of, word_of
from tickglass.telemetry.sidecar.view import InstanceView, OccurrenceView


def occurrence(outcome: str, state: str = "") -> OccurrenceView:
    return OccurrenceView(job="j", due_ns=1, outcome=outcome, state=state)


@pytest.mark.parametrize("outcome", Outcome)
def test_each_outcome_has_a_tone_an_icon_and_its_own_word(outcome: Outcome) -> None:
    run = occurrence(outcome=outcome)
    assert tone_of(run) in Tone
    assert icon_of(run)
    assert word_of(run) == outcome


def test_a_running_occurrence_differs_from_an_abandoned_one() -> None:
    assert tone_of(occurrence(outcome="", state="running")) is Tone.RUN
    assert tone_of(occurrence(outcome="", state="abandoned")) is Tone.BAD
    assert word_of(occurrence(outcome="")) == "pending"


def test_an_outcome_of_a_later_version_is_a_warning() -> None:
    assert tone_of(occurrence(outcome="teleported")) is Tone.WARN


def test_an_instance_that_runs_is_well_and_one_that_is_silent_is_not() -> None:
    tones = {
        state: instance_tone(InstanceView(source="s", service="b", owner="n", incarnation="i", state=state))
        for state in ("starting", "running", "draining", "silent")
    }
    assert tones == {"starting": Tone.RUN, "running": Tone.OK, "draining": Tone.RUN, "silent": Tone.WARN}
