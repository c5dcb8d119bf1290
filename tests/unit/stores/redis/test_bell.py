"""A bell wakes one thread that waits for a socket, too, and no ring is lost."""

from __future__ import annotations

import os
import socket
import threading

from kit.servers import PATIENCE_S

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.stores.redis.bell import Bell

LONG_NS = int(PATIENCE_S * SECOND)


def waited_ns(bell: Bell, timeout_ns: int, beside: socket.socket | None = None) -> int:
    clock = SystemClock()
    began_ns = clock.monotonic_ns()
    bell.wait(timeout_ns, beside)
    return clock.monotonic_ns() - began_ns


def test_a_ring_before_the_wait_is_not_lost_and_counts_once() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    assert waited_ns(bell, LONG_NS) < LONG_NS
    assert waited_ns(bell, 20 * MS) >= 20 * MS
    bell.close()
    bell.ring()


def test_a_ring_ends_a_wait() -> None:
    bell = Bell()
    bell.wait(1)
    threading.Timer(0.05, bell.ring).start()
    assert 0 < waited_ns(bell, LONG_NS) < LONG_NS
    assert waited_ns(bell, 20 * MS) >= 20 * MS
    bell.close()


def test_a_socket_that_can_be_read_ends_a_wait() -> None:
    bell = Bell()
    here, there = socket.socketpair()
    assert waited_ns(bell, 20 * MS, here) >= 20 * MS
    there.send(b"x")
    assert waited_ns(bell, LONG_NS, here) < LONG_NS
    here.close()
    there.close()
    bell.close()


def test_a_ring_in_a_forked_process_wakes_the_parent_once_at_most() -> None:
    bell = Bell()
    bell.wait(1)
    child = os.fork()
    if child == 0:
        bell.ring()
        os._exit(0)
    os.waitpid(child, 0)
    bell.wait(LONG_NS)
    assert waited_ns(bell, 20 * MS) >= 20 * MS
    bell.close()
