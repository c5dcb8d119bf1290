"""What a member's Date header says is taken for the instant closest to ours that it may mean."""

from __future__ import annotations

import pytest
from kit.servers import find_free_port

from tickglass.sched.durations import SECOND
from tickglass.sched.stores.etcd.server_time import closest_ns, dated_ns
from tickglass.testing import FakeClock


def test_a_member_that_cannot_be_reached_says_nothing() -> None:
    assert dated_ns("127.0.0.1", find_free_port(), 1.0) is None


@pytest.mark.parametrize(
    ("reported_ns", "closest"),
    [(None, 0), (0, 0), (-SECOND + 1, 0), (5 * SECOND, 5 * SECOND), (-3 * SECOND, -2 * SECOND - 1)],
)
def test_the_closest_instant_that_the_member_may_have_meant(reported_ns: int | None, closest: int) -> None:
    clock = FakeClock()
    now_ns = clock.wall_ns()
    assert closest_ns(clock, now_ns, None if reported_ns is None else now_ns + reported_ns) == now_ns + closest
