"""Pauses by the number of failures."""

from __future__ import annotations

import pytest

from tickglass.sched.durations import MS
from tickglass.sched.policies.backoff import POLL, STORE, Backoff


@pytest.mark.parametrize(
    ("backoff", "pauses_ms"),
    [
        (Backoff(MS), [1, 1, 1]),
        (Backoff(3 * MS, 2 * MS), [3, 2, 2]),
        (Backoff.doubling(MS, MS), [1, 1]),
        (Backoff.doubling(3 * MS, 10 * MS), [3, 6, 10, 10]),
        (STORE, [100, 300, 800, 800, 800]),
        (POLL, [5, 10, 20, 40, 80, 160, 250, 250]),
    ],
)
def test_each_failure_has_its_pause_and_the_last_pause_repeats(backoff: Backoff, pauses_ms: list[int]) -> None:
    assert [backoff.after(failures) // MS for failures in range(1, len(pauses_ms) + 1)] == pauses_ms


def test_it_is_exhausted_by_the_failure_after_the_last_pause() -> None:
    assert [STORE.is_exhausted(failures) for failures in range(5)] == [False, False, False, False, True]
