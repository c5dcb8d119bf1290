"""`tickglass forget` removes a job that no living instance has, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.occurrence import Outcome
from tickglass.sched.ports import InstanceRecord

if TYPE_CHECKING:
    from unit.cli.conftest import Filled, Tickglass


def instance(state: str = "running", service: str = "billing") -> InstanceRecord:
    return InstanceRecord(service, f"host/{service}/0", "i1", "1.2.3", "f00d", state)


def test_a_job_goes_with_its_runs_and_a_second_call_does_nothing(filled: Filled, tickglass: Tickglass) -> None:
    filled.register("sync")
    filled.settle(filled.claim("sync"), "sync", Outcome.SUCCESS)
    done = tickglass("forget", "sync", filled.url)
    assert (done.exit_code, done.stdout) == (0, "forgot billing/sync\n")
    assert (filled.store.jobs(), filled.store.runs()) == ([], [])
    again = tickglass("forget", "sync", filled.url)
    assert (again.exit_code, again.stdout) == (0, "there is no job sync: nothing to forget\n")
    named = tickglass("forget", "sync", filled.url, "--service", "billing")
    assert (named.exit_code, named.stdout) == (0, "there is no job billing/sync: nothing to forget\n")


@pytest.mark.parametrize("service", [[], ["--service", "billing"]])
def test_a_misspelled_name_is_told_what_is_similar(filled: Filled, tickglass: Tickglass, service: list[str]) -> None:
    filled.register("reconcile")
    typo = tickglass("forget", "reconsile", filled.url, *service)
    assert typo.exit_code == 0, "a script may call it twice"
    assert typo.stderr == "note: the store has reconcile\n"
    assert len(filled.store.jobs()) == 1


@pytest.mark.parametrize("state", ["starting", "running", "draining"])
def test_it_is_refused_while_a_living_instance_has_the_job(filled: Filled, tickglass: Tickglass, state: str) -> None:
    filled.register("sync")
    filled.store.join(instance(state), ["sync"])
    refused = tickglass("forget", "sync", filled.url)
    assert refused.exit_code == 1
    assert "billing/sync is not forgotten, because a living instance has it: host/billing/0 (" in refused.stderr
    assert len(filled.store.jobs()) == 1


def test_instances_that_left_that_lack_it_or_belong_to_other_services_do_not_count(
    filled: Filled, tickglass: Tickglass
) -> None:
    filled.register("sync")
    filled.store.join(InstanceRecord("billing", "h", "i2", "1", "0ther", "running"), ["other"])
    filled.store.join(InstanceRecord("mail", "h", "i3", "1", "f00d", "running"), ["sync"])
    filled.store.join(instance("left"), ["sync"])
    assert tickglass("forget", "sync", filled.url).exit_code == 0
    assert filled.store.jobs() == []


def test_a_name_that_several_services_use_needs_the_service(filled: Filled, tickglass: Tickglass) -> None:
    filled.register("sync")
    filled.register("sync", service="mail")
    refused = tickglass("forget", "sync", filled.url)
    assert refused.exit_code == 2
    assert "several services have a job of this name" in refused.stderr
    assert tickglass("forget", "sync", filled.url, "--service", "mail").exit_code == 0
    assert [job.service for job in filled.store.jobs()] == ["billing"]
