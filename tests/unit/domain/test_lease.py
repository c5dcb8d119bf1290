"""How long a lease may be trusted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import ConfigError
from tickglass.sched.lease import Lease, drift_allowance_ns, trusted_until_ns
from tickglass.sched.ports import LeaseAsk


@given(asked_ns=st.integers(0, 10**18), ttl_ns=st.integers(50 * MS, 10**15))
def test_trust_ends_after_the_request_and_before_the_lease(asked_ns: int, ttl_ns: int) -> None:
    until_ns = trusted_until_ns(asked_ns, ttl_ns, drift_allowance_ns(ttl_ns))
    assert asked_ns < until_ns < asked_ns + ttl_ns


def test_the_drift_allowance_is_redlocks() -> None:
    assert drift_allowance_ns(30 * SECOND) == 302 * MS


@pytest.mark.parametrize("margin_ns", [-1, SECOND, 2 * SECOND])
def test_an_allowance_that_leaves_nothing_is_refused(margin_ns: int) -> None:
    with pytest.raises(ConfigError, match="must be shorter than the TTL 1s"):
        trusted_until_ns(0, SECOND, margin_ns)


def test_a_lease_is_as_it_was_asked_for_and_trusted_only_where_that_was_earned() -> None:
    ask = LeaseAsk("printer", "a", "svc", "token", 30 * SECOND, job="job")
    untrusted, trusted = ask.untrusted(7), ask.trusted(7, 29 * SECOND)
    assert untrusted == Lease("printer", "a", "token", 7, 30 * SECOND, 0)
    assert trusted == Lease("printer", "a", "token", 7, 30 * SECOND, 29 * SECOND)
