"""Which instances have a job, and how their jobs differ."""

from __future__ import annotations

import pytest

from tickglass.sched.control.roster import JobPresence, Roster, read_roster
from tickglass.sched.identity import JobId
from tickglass.sched.ports import SILENT_AFTER_NS, InstanceRecord
from tickglass.sched.stores.memory.store import MemoryStore
from tickglass.testing import FakeClock

NAMES = {"ab": frozenset({"a", "b"}), "a": frozenset({"a"}), "lost": None, "ab2": frozenset({"a", "b"})}


def instance(fingerprint: str, owner: str = "n1", state: str = "running", silent_ns: int = 0) -> InstanceRecord:
    return InstanceRecord("svc", owner, f"{owner}-{fingerprint}", "1", fingerprint, state, silent_ns=silent_ns)


@pytest.mark.parametrize(
    ("instances", "presence"),
    [
        ([instance("ab"), instance("ab", "n2")], JobPresence.ALL),
        ([instance("ab"), instance("a", "n2")], JobPresence.SOME),
        ([instance("a"), instance("ab", "n2", "left")], JobPresence.RETIRED),
        ([instance("a"), instance("ab", "n2", silent_ns=SILENT_AFTER_NS)], JobPresence.RETIRED),
        ([instance("a"), instance("ab", "n2", "draining")], JobPresence.SOME),
        ([instance("ab", state="left")], JobPresence.NO_INSTANCE),
        ([], JobPresence.NO_INSTANCE),
        ([instance("ab"), instance("lost", "n2")], JobPresence.UNKNOWN),
    ],
)
def test_a_job_is_retired_when_instances_live_and_none_has_it(
    instances: list[InstanceRecord], presence: JobPresence
) -> None:
    assert Roster(instances, NAMES).presence(JobId("svc", "b")) is presence
    assert Roster(instances, NAMES).presence(JobId("other", "b")) is JobPresence.NO_INSTANCE


def test_an_instance_whose_jobs_are_not_known_may_have_a_job() -> None:
    lost, has, lacks = instance("lost"), instance("ab", "n2"), instance("a", "n3")
    assert Roster([lost, has, lacks], NAMES).having(JobId("svc", "b")) == [lost, has]


@pytest.mark.parametrize(
    ("fingerprint", "told"),
    [
        ("ab", ""),
        ("a", "lacks b"),
        ("ab2", "declares a job otherwise"),
        ("lost", "other jobs"),
        ("more", "also has c, d, e and 1 more"),
    ],
)
def test_an_instance_is_told_how_its_jobs_differ_from_those_of_most(fingerprint: str, told: str) -> None:
    most = [instance("ab", "n2"), instance("ab", "n3")]
    ours = instance(fingerprint)
    names = NAMES | {"more": frozenset("abcdef")}
    assert Roster([ours, *most], names).difference(ours) == told


def test_instances_that_have_left_are_not_compared() -> None:
    left = instance("a", state="left")
    assert Roster([left, instance("ab", "n2")], NAMES).difference(left) == ""


def test_a_roster_is_read_with_the_jobs_of_those_that_live() -> None:
    store = MemoryStore(FakeClock())
    store.join(instance("ab"), ["a", "b"])
    store.join(instance("a", "n2", "left"), ["a"])
    roster = read_roster(store)
    assert roster.names == {"ab": frozenset({"a", "b"})}
    assert len(roster.instances) == 2
