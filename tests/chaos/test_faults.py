"""What goes wrong is decided by a seed, and the proxy does what networks do."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections import defaultdict
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from chaos.faults import SERVERS, Fault, Kind, plan
from chaos.proxy import BOTH_WAYS, ONLY_ANSWERS, Proxy
from chaos.readiness import UNREADY_WITHIN_NS
from chaos.steering import BlockLoop, Crowd, SetClock, SteeredClock, order_of

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.proxy import Link

PATIENCE_S = 10.0
HELD_S = 0.05


def planned(seed: int) -> list[Fault]:
    return plan(
        seed,
        workers=3,
        of_workers=[Kind.KILL, Kind.FREEZE],
        of_servers=[Kind.RESTART],
        span_ns=20 * SECOND,
        ttl_ns=SECOND,
    )


def test_a_seed_is_a_plan() -> None:
    assert planned(1) == planned(1)
    assert planned(1) != planned(2)
    assert {fault.kind for fault in planned(1)} == {Kind.KILL, Kind.FREEZE, Kind.RESTART}


def test_each_target_has_one_fault_at_a_time_and_all_of_them_end() -> None:
    of_target: defaultdict[int, list[Fault]] = defaultdict(list)
    for fault in planned(3):
        of_target[fault.target].append(fault)
        assert 0 < fault.from_ns <= fault.until_ns <= 20 * SECOND
        assert fault.kind is not Kind.FREEZE or fault.until_ns - fault.from_ns > SECOND
    assert of_target.keys() == {SERVERS, 0, 1, 2}
    for faults in of_target.values():
        assert all(before.until_ns < after.from_ns for before, after in pairwise(faults))


def test_a_blocked_loop_and_a_full_store_last_longer_than_readiness_may_take_to_notice() -> None:
    faults = plan(5, workers=2, of_workers=[Kind.BLOCK], of_servers=[Kind.FULL], span_ns=60 * SECOND, ttl_ns=700 * MS)
    assert {fault.kind for fault in faults} == {Kind.BLOCK, Kind.FULL}
    assert min(fault.until_ns - fault.from_ns for fault in faults) > UNREADY_WITHIN_NS + 500 * MS


@pytest.mark.parametrize("kind", [Kind.FAST, Kind.SLOW, Kind.FORWARD, Kind.BACK])
def test_clocks_are_wrong_by_a_little_by_much_and_for_ever(kind: Kind) -> None:
    sign = -1 if kind in (Kind.SLOW, Kind.BACK) else 1
    offsets_ns = [sign * Fault(0, 1, kind, 0, luck).offset_ns for luck in (0.0, 0.5, 0.999)]
    assert offsets_ns == [400 * MS, 20 * SECOND, 3_600 * SECOND]


@pytest.mark.parametrize("order", [SetClock(-5), Crowd(7), BlockLoop(9)])
def test_an_order_is_one_line(order: SetClock | Crowd | BlockLoop) -> None:
    assert "\n" not in str(order)
    assert order_of(str(order)) == order


def test_the_wall_clock_of_one_process_can_be_set() -> None:
    clock = SteeredClock()
    right = clock.reading().offset_ns
    clock.offset_ns = -3_600 * SECOND
    assert abs(clock.reading().offset_ns - right + 3_600 * SECOND) < SECOND
    assert abs(SystemClock().wall_ns() - clock.wall_ns() - 3_600 * SECOND) < SECOND


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.server.heard.append(line)  # type: ignore[attr-defined]
            self.wfile.write(line)


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.heard: list[bytes] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A reset connection is what the test wants."""


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with EchoServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def link(server: EchoServer) -> Iterator[Link]:
    with Proxy() as proxy:
        yield proxy.link(server.server_address[1])


@pytest.fixture
def client(link: Link) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", link.port), PATIENCE_S) as client:
        yield client


def test_a_link_passes_on_everything(client: socket.socket) -> None:
    client.sendall(b"a\nb\n")
    assert client.makefile("rb").readline() == b"a\n"


@pytest.mark.parametrize("ways", [BOTH_WAYS, ONLY_ANSWERS])
def test_what_was_held_back_arrives_late(
    link: Link, client: socket.socket, server: EchoServer, ways: frozenset[str]
) -> None:
    client.sendall(b"a\n")
    assert client.recv(9) == b"a\n"
    link.hold(ways)
    client.sendall(b"b\n")
    client.settimeout(HELD_S)
    with pytest.raises(TimeoutError):
        client.recv(9)
    assert server.heard == ([b"a\n"] if ways is BOTH_WAYS else [b"a\n", b"b\n"])
    link.hold(frozenset())
    client.settimeout(PATIENCE_S)
    assert client.recv(9) == b"b\n"
    assert server.heard == [b"a\n", b"b\n"]


def test_a_delay_is_one_for_each_way(link: Link, client: socket.socket) -> None:
    clock = SystemClock()
    link.delay(HELD_S)
    sent_ns = clock.monotonic_ns()
    client.sendall(b"a\n")
    assert client.recv(9) == b"a\n"
    assert clock.monotonic_ns() - sent_ns >= 2 * HELD_S * SECOND - 2 * MS


def test_a_reset_is_heard_and_new_connections_are_taken(link: Link, client: socket.socket) -> None:
    client.sendall(b"a\n")
    assert client.recv(9) == b"a\n"
    link.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(9)
    with socket.create_connection(("127.0.0.1", link.port), PATIENCE_S) as another:
        another.sendall(b"b\n")
        assert another.recv(9) == b"b\n"


def all_that_is_heard(client: socket.socket) -> bytes:
    """Return what comes until the other side closes, or resets."""
    heard = b""
    try:
        while data := client.recv(9):
            heard += data
    except ConnectionResetError:
        pass
    return heard


def test_nobody_behind_a_link_is_heard_too() -> None:
    with (
        Proxy() as proxy,
        suppress(ConnectionResetError),  # which may come as soon as the connection is there
        socket.create_connection(("127.0.0.1", proxy.link(1).port), PATIENCE_S) as client,
    ):
        assert all_that_is_heard(client) == b""


def test_the_end_of_a_client_is_passed_on(link: Link, client: socket.socket, server: EchoServer) -> None:
    client.sendall(b"a\n")
    assert client.recv(9) == b"a\n"
    client.shutdown(socket.SHUT_WR)
    assert all_that_is_heard(client) == b""
