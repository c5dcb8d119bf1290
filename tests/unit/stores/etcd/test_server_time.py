"""What a member's Date header says is taken for the instant closest to ours that it may mean."""

from __future__ import annotations

import pytest
from kit.servers import find_free_port

from tickglass.sched.durations import SECOND
from tickglass.sched.stores.etcd.server_time import ClusterClock, closest_ns, dated_ns
from tickglass.testing import FakeClock


def test_a_member_that_cannot_be_reached_says_nothing() -> None:
    assert dated_ns("127.0.0.1", find_free_port(), 1.0) is None


@pytest.mark.parametrize(
    ("reported_ns", "closest"),
    [(None, 0), (0, 0), (-SECOND + 1, 0), (5 * SECOND, 5 * SECOND), (-3 * SECOND, -2 * SECOND - 1)],
)
def test_the_closest_instant_that_the_member_may_have_meant(reported_ns: int | None, closest: int) -> None:
    now = FakeClock().reading()
    told_ns = None if reported_ns is None else now.wall_ns + reported_ns
    assert closest_ns(now, now.monotonic_ns, told_ns) == now.wall_ns + closest


@pytest.mark.parametrize(("reported_ns", "closest"), [(-5 * SECOND, -3 * SECOND - 1), (5 * SECOND, 4 * SECOND)])
def test_a_member_that_answers_late_may_have_read_its_clock_at_any_time_until_then(
    reported_ns: int, closest: int
) -> None:
    asked = FakeClock().reading()
    told_ns = asked.wall_ns + reported_ns
    assert closest_ns(asked, asked.monotonic_ns + 2 * SECOND, told_ns) == asked.wall_ns + closest


def test_a_wall_clock_that_is_set_while_the_cluster_is_asked_does_not_move_its_time() -> None:
    """Else a claim would be made ahead of the cluster's clock by half of what ours was set forward."""
    ours, asked = FakeClock(), FakeClock()

    def ask() -> int:
        before = ours.reading()
        told_ns = asked.wall_ns() // SECOND * SECOND
        ours.step(20 * SECOND)
        return closest_ns(before, ours.monotonic_ns(), told_ns)

    cluster = ClusterClock(ours, ask)
    assert abs(cluster.compare() - asked.wall_ns()) <= SECOND
    assert abs(cluster.wall_ns() - asked.wall_ns()) <= SECOND
