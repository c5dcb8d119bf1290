"""What a form shows and leaves to choose, of what a real store has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.control.audit import ActKind
from tickglass.sched.durations import SECOND
from tickglass.sched.errors import ConfigError
from tickglass.telemetry.sidecar.web.control.desks import NotThere
from tickglass.telemetry.sidecar.web.forms.form import ACTS, PAUSES, SKIPS_OFFERED, form_for

if TYPE_CHECKING:
    from kit.office import Office

DUE_NS = 1_700_000_000 * SECOND
NIGHTLY = {"job": "nightly", "service": "billing"}


def test_every_act_has_a_form() -> None:
    assert ACTS.keys() == set(ActKind)


def test_a_pause_offers_durations_and_counts_what_each_skips(office: Office) -> None:
    form = form_for("pause", office.store, {"job": "nightly"})
    assert (form.title, form.chooses, form.about) == ("Pause nightly of billing", "for", NIGHTLY)
    assert [choice.value for choice in form.choices] == ["", *PAUSES]
    hour, week = form.choices[2].label, form.choices[5].label
    assert hour.startswith("For 1h: 4 due instants until ")
    assert week.startswith("For 7d: 672 due instants until ")


def test_a_skip_offers_the_next_instants_exactly(office: Office) -> None:
    form = form_for("skip", office.store, NIGHTLY)
    assert len(form.choices) == SKIPS_OFFERED
    for choice in form.choices:
        assert choice.value[14:] in {"00:00+00:00", "15:00+00:00", "30:00+00:00", "45:00+00:00"}


def test_a_cancel_offers_the_runs_in_progress(office: Office) -> None:
    assert form_for("cancel", office.store, NIGHTLY).effects == ["it is not running, so this will be refused"]
    fence = office.claim(DUE_NS, "run-1")
    office.settle(DUE_NS, "run-1", fence)
    office.claim(DUE_NS + SECOND, "run-2")
    assert [choice.value for choice in form_for("cancel", office.store, NIGHTLY).choices] == ["run-2"]


def test_a_drain_counts_the_runs_that_go_on(office: Office) -> None:
    office.claim(DUE_NS, "run-1")
    form = form_for("drain", office.store, {"owner": "host-1", "service": "billing"})
    assert form.effects == [
        "host-1 of billing will start no run; one run goes on to the end",
        "no other instance of billing lives, so none of its jobs will run",
    ]


def test_a_resume_is_of_all_jobs_that_fit(office: Office) -> None:
    form = form_for("resume", office.store, {"job": "sync"})
    assert (form.title, form.about) == ("Resume sync", {"job": "sync", "service": "*"})
    assert len(form.effects) == 3
    assert form_for("resume", office.store, {"job": "*"}).title == "Resume all jobs"


@pytest.mark.parametrize(
    ("act", "asked", "words"),
    [
        ("destroy", {}, "there is no act destroy"),
        ("skip", {"job": "nightli"}, "there is no job nightli"),
        ("trigger", {}, "there is no job "),
        ("resume", {"job": "no*"}, "there is no job no*"),
        ("unlock", {"resource": "billing/nightly", "fence": "²"}, "an unlock needs"),
        ("drain", {"owner": "host-2", "service": "billing"}, "no instance host-2 of billing lives"),
    ],
)
def test_what_is_not_there_has_no_form(office: Office, act: str, asked: dict[str, str], words: str) -> None:
    with pytest.raises(NotThere) as refused:
        form_for(act, office.store, asked)
    assert words in refused.value.problem


def test_a_name_of_several_services_needs_the_service(office: Office) -> None:
    with pytest.raises(ConfigError, match="billing and mail each have a job sync"):
        form_for("pause", office.store, {"job": "sync"})


def test_what_was_perhaps_meant_is_named(office: Office) -> None:
    with pytest.raises(NotThere) as refused:
        form_for("pause", office.store, {"job": "nightli"})
    assert refused.value.instead == ("nightly",)
