"""A wake-up for sockets wakes one thread that waits for a socket, too, and no ring is lost."""

from __future__ import annotations

import os
import socket
import threading

from kit.servers import PATIENCE_S

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.stores.redis.socket_wake import SocketWake

LONG_NS = int(PATIENCE_S * SECOND)


def waited_ns(wake: SocketWake, timeout_ns: int, beside: socket.socket | None = None) -> int:
    clock = SystemClock()
    began_ns = clock.monotonic_ns()
    wake.wait(timeout_ns, beside)
    return clock.monotonic_ns() - began_ns


def test_a_ring_before_the_wait_is_not_lost_and_counts_once() -> None:
    wake = SocketWake()
    wake.ring()
    wake.ring()
    assert waited_ns(wake, LONG_NS) < LONG_NS
    assert waited_ns(wake, 20 * MS) >= 20 * MS
    wake.close()
    wake.ring()


def test_a_ring_ends_a_wait() -> None:
    wake = SocketWake()
    wake.wait(1)
    threading.Timer(0.05, wake.ring).start()
    assert 0 < waited_ns(wake, LONG_NS) < LONG_NS
    assert waited_ns(wake, 20 * MS) >= 20 * MS
    wake.close()


def test_a_socket_that_can_be_read_ends_a_wait() -> None:
    wake = SocketWake()
    here, there = socket.socketpair()
    assert waited_ns(wake, 20 * MS, here) >= 20 * MS
    there.send(b"x")
    assert waited_ns(wake, LONG_NS, here) < LONG_NS
    here.close()
    there.close()
    wake.close()


def test_a_ring_in_a_forked_process_wakes_the_parent_once_at_most() -> None:
    wake = SocketWake()
    wake.wait(1)
    child = os.fork()
    if child == 0:
        wake.ring()
        os._exit(0)
    os.waitpid(child, 0)
    wake.wait(LONG_NS)
    assert waited_ns(wake, 20 * MS) >= 20 * MS
    wake.close()
