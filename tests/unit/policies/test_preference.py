"""Which instances hold back before they take a free lease, and for how long."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import ConfigError
from tickglass.sched.lock_terms import lock_terms
from tickglass.sched.policies.preference import (
    better_labels,
    checked_labels,
    checked_preference,
    head_start_ns,
    preference,
)

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


def test_an_instance_may_have_no_labels() -> None:
    assert checked_labels(None) == checked_labels({}) == frozenset()


@pytest.mark.parametrize("labels", ["region=a", ["region=a"], {"region": 1}, {1: "a"}, {"region": None}])
def test_what_is_no_name_with_a_value_is_no_label(labels: Any) -> None:  # noqa: ANN401 - anything, that is the point
    with pytest.raises(ConfigError) as raised:
        checked_labels(labels)
    assert 'labels={"region": "a"}' in str(raised.value)


def test_a_preference_is_spelled_as_text_or_with_its_thresholds() -> None:
    made = preference("region=a", near="1ms", far="1ms")
    assert checked_preference(made) is made
    assert checked_preference("region=a") == preference("region=a")
    assert checked_preference(None) is None


def test_a_lock_that_does_not_wait_holds_nobody_back() -> None:
    assert lock_terms("printer", prefer="region=a").prefer == preference("region=a")
    with pytest.raises(ConfigError, match="does not hold back for preferred holders"):
        lock_terms("printer", prefer="region=a", blocking=False)
    with pytest.raises(ConfigError, match="a preference names labels"):
        lock_terms("printer", prefer="a")


def test_the_labels_listed_before_an_instances_own_go_first() -> None:
    preferred = preference("region=a, region=b")
    assert [better_labels(preferred, ours) for ours in (A, B, C)] == [(), ("region=a",), ("region=a", "region=b")]
    assert better_labels(None, C) == ()
