"""Servers are connected side by side: a slow one delays no other, and its connection is kept for the next call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from chaos.proxy import BOTH_WAYS, Link, Proxy
from kit.rig import wait_until

from tickglass.sched.durations import SECOND
from tickglass.sched.stores.redis.topology import Credentials, Server
from tickglass.sched.stores.redlock.dialler import Dialler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kit.servers import RedisServer

LONG_NS = 30 * SECOND


@pytest.fixture
def slow(redis_servers: Callable[[int], list[RedisServer]]) -> Iterator[Link]:
    """A link that passes on nothing."""
    with Proxy() as proxy:
        link = proxy.link(redis_servers(1)[0].port)
        link.hold(BOTH_WAYS)
        yield link


@pytest.fixture
def dialler(redis_servers: Callable[[int], list[RedisServer]], slow: Link, free_port: int) -> Iterator[Dialler]:
    """Of three servers the first is slow, the second is quick, and the third is not there."""
    ports = (slow.port, redis_servers(2)[1].port, free_port)
    dialler = Dialler([Server("127.0.0.1", port) for port in ports], Credentials(timeout_ns=LONG_NS))
    yield dialler
    dialler.close()


def test_each_server_is_told_of_as_soon_as_it_is_connected_or_refused(dialler: Dialler, slow: Link) -> None:
    with dialler.dial([0, 1, 2], LONG_NS) as dial:
        first = [dial.next(LONG_NS), dial.next(LONG_NS)]
        assert dial.next(0) is None
        slow.hold(frozenset())
        found = dict(it for it in [*first, dial.next(None)] if it is not None)
    assert {number: isinstance(it, Exception) for number, it in found.items()} == {0: False, 1: False, 2: True}
    for connection in found.values():
        if not isinstance(connection, Exception):
            connection.disconnect()


def test_a_connection_that_comes_too_late_is_kept_for_the_next_call(dialler: Dialler, slow: Link) -> None:
    with dialler.dial([0], LONG_NS) as dial:
        assert dial.next(0) is None
    assert dialler.spare(0) is None
    slow.hold(frozenset())
    wait_until(lambda: 0 in dialler._spares)
    spare = dialler.spare(0)
    assert spare is not None
    assert dialler.spare(0) is None
    spare.disconnect()


def test_what_was_connected_and_not_fetched_is_kept_too(dialler: Dialler) -> None:
    with dialler.dial([1], LONG_NS) as dial:
        wait_until(lambda: not dial._found.empty())
    assert dialler._spares.keys() == {1}


def test_what_comes_after_the_close_is_closed(dialler: Dialler, slow: Link) -> None:
    with dialler.dial([0], LONG_NS):
        pass
    dialler.close()
    slow.hold(frozenset())
    wait_until(lambda: all(connection.over for connection in slow._connections))
    assert dialler.spare(0) is None
