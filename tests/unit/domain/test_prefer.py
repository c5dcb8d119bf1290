"""Who holds back before taking a free lease, and for how long."""

from __future__ import annotations

from typing import Final

import pytest

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import ConfigError
from tickglass.sched.ports import Granted, LeaseAsk, LeaseRecord
from tickglass.sched.prefer import (
    PRESENCE_TTL_NS,
    checked_labels,
    head_start_ns,
    preference,
    presence_resource,
    present_labels,
)
from tickglass.sched.stores import open_store

A, B, C = frozenset({"region=a"}), frozenset({"region=b"}), frozenset({"region=c"})
NONE: Final[frozenset[str]] = frozenset()


@pytest.mark.parametrize(
    ("ours", "present", "held_back_ns"),
    [
        (A, A | B | C, 0),  # preferred
        (A, NONE, 0),  # not even noted as there yet
        (B, A | B | C, 200 * MS),  # named next: near
        (C, A | B | C, 800 * MS),  # not named: far
        (NONE, A, 800 * MS),
        (B, B | C, 0),  # the preferred region has gone: at once
        (C, B | C, 800 * MS),  # but somebody better is there
        (C, C, 0),
        (A | C, A | B, 0),  # one label that fits is enough
        (C, frozenset({"zone=a"}), 0),  # another label of the same value is nobody
    ],
)
def test_who_is_not_preferred_holds_back_while_somebody_better_is_there(
    ours: frozenset[str], present: frozenset[str], held_back_ns: int
) -> None:
    assert head_start_ns(preference("region=a, region=b"), ours, present) == held_back_ns


def test_nobody_holds_back_without_a_preference() -> None:
    assert head_start_ns(None, B, A) == 0


def test_the_thresholds_can_be_set() -> None:
    preferred = preference("region=a,region=b", near="50ms", far="2s")
    assert [head_start_ns(preferred, ours, A) for ours in (A, B, C)] == [0, 50 * MS, 2 * SECOND]
    with pytest.raises(ConfigError, match="far must not be less than near: 100ms is less than 200ms"):
        preference("region=a", far="100ms")


@pytest.mark.parametrize(
    ("given", "part"),
    [("", ""), ("a", "a"), ("region=", "region="), ("=a", "=a"), ("region=a, b", "b"), ("region=a,", ""),
     ("region = a", "region = a"), ("region=a;region=b", "region=a;region=b"), ("region=a, region=a", "region=a")],
)  # fmt: skip
def test_a_wrong_preference_is_pointed_at(given: str, part: str) -> None:
    with pytest.raises(ConfigError) as raised:
        preference(given)
    assert raised.value.given == given
    assert raised.value.span is not None
    start, end = raised.value.span
    assert given[start:end] == part
    assert start == given.rfind(part)


def test_what_is_no_text_is_no_preference() -> None:
    with pytest.raises(ConfigError, match="a preference is text, not dict"):
        preference({"region": "a"})  # type: ignore[arg-type]


def test_labels_are_spelled_as_preferences_name_them() -> None:
    assert checked_labels({"region": "a", "zone": "eu-west/1"}) == {"region=a", "zone=eu-west/1"}
    for labels in ({"region": ""}, {"": "a"}, {"region": "a, b"}, {"re gion": "a"}):
        with pytest.raises(ConfigError, match="a plain name and a plain value"):
            checked_labels(labels)


def test_a_region_is_present_while_the_lease_of_its_label_is_live() -> None:
    def record(resource: str, remaining_ns: int) -> LeaseRecord:
        return LeaseRecord(resource, "n1", "billing", "", "", 1, PRESENCE_TTL_NS, 0, 0, remaining_ns)

    live, dead = record(presence_resource("region=a"), 1), record(presence_resource("region=b"), 0)
    assert present_labels([live, dead, record("region=c", 1)]) == {"region=a"}
    store = open_store("memory://", SystemClock())
    shown = LeaseAsk(presence_resource("zone=1"), "n1", "billing", "token", PRESENCE_TTL_NS)
    assert isinstance(store.acquire(shown), Granted)
    assert present_labels(store.leases()) == {"zone=1"}
