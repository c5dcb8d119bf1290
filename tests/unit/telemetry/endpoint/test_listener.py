"""A scheduler's endpoint answers whatever slow clients do: real sockets, and every way to be slow."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
from kit.rig import wait_until
from prometheus_client import CollectorRegistry, Gauge

from tickglass.telemetry import MetricsServer
from tickglass.telemetry.endpoint import listener as listener_module

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 15.0
SHORT_S = 0.2
MOST = 8
MEGABYTE = 1_000_000


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def server(registry: CollectorRegistry) -> Iterator[MetricsServer]:
    server = MetricsServer("127.0.0.1:0", registry, list)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "REQUEST_MAX_S", SHORT_S)


@contextmanager
def connected(server: MetricsServer) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)  # so that little of an answer fits in
        connection.settimeout(PATIENCE_S)
        connection.connect(("127.0.0.1", server.port))
        yield connection


def has_ended(connection: socket.socket) -> bool:
    """Read until the other side ends a connection."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionError:
        pass
    return True


def whole_answer(server: MetricsServer, sent: bytes) -> bytes:
    with connected(server) as connection:
        connection.sendall(sent)
        answer = b""
        while more := connection.recv(65_536):
            answer += more
        return answer


def status(server: MetricsServer, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    connection.request("GET", path)
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def open_connections(server: MetricsServer) -> int:
    assert server._listener is not None
    return len(server._listener._slow) + len(server._listener._asked)


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: local", b"GET /readyz HTTP/1.1\r\n" * 100])
def test_clients_that_do_not_send_a_whole_request_keep_no_probe_from_its_answer(
    server: MetricsServer, sent: bytes
) -> None:
    before = threading.active_count()
    with ExitStack() as held:
        for _ in range(listener_module.CONNECTIONS_MAX + 50):
            held.enter_context(connected(server)).sendall(sent)
        for path in ("/healthz", "/readyz", "/metrics"):
            assert status(server, path) == 200
        assert threading.active_count() == before
        assert open_connections(server) <= listener_module.CONNECTIONS_MAX


def test_nor_do_those_that_read_no_answer(
    registry: CollectorRegistry, server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "CONNECTIONS_MAX", MOST)
    Gauge("large", "x" * 10 * MEGABYTE, registry=registry)
    before = threading.active_count()
    with ExitStack() as held:
        for _ in range(3 * MOST):
            held.enter_context(connected(server)).sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        for path in ("/healthz", "/readyz"):
            assert status(server, path) == 200
        assert threading.active_count() == before


def test_the_client_that_was_slow_for_longest_makes_room(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "CONNECTIONS_MAX", MOST)
    with ExitStack() as held:
        slow = [held.enter_context(connected(server)) for _ in range(MOST)]
        wait_until(lambda: open_connections(server) == MOST)
        assert status(server, "/healthz") == 200
        assert has_ended(slow[0])
        slow[1].sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert slow[1].recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_those_that_wait_for_a_scrape_leave_room_for_those_that_come(
    registry: CollectorRegistry, server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "CONNECTIONS_MAX", MOST)
    entered, go_on = threading.Event(), threading.Event()

    def value() -> float:
        entered.set()
        go_on.wait(PATIENCE_S)
        return 1.0

    Gauge("slow", "slow", registry=registry).set_function(value)
    with ExitStack() as held:
        scraping = [held.enter_context(connected(server)) for _ in range(MOST)]
        for connection in scraping:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert entered.wait(PATIENCE_S)
        probes = [held.enter_context(connected(server)) for _ in range(MOST // 4)]
        for connection in reversed(probes):
            connection.sendall(b"GET /readyz HTTP/1.1\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
        go_on.set()
        assert scraping[-1].recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_probe_is_answered_while_a_scrape_takes_its_time(registry: CollectorRegistry, server: MetricsServer) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def value() -> float:
        entered.set()
        go_on.wait(PATIENCE_S)
        return 1.0

    Gauge("slow", "slow", registry=registry).set_function(value)
    with connected(server) as scraping:
        scraping.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert entered.wait(PATIENCE_S)
        assert status(server, "/readyz") == 200
        go_on.set()
        assert scraping.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_nobody_scrapes_for_a_client_that_has_been_let_go(
    registry: CollectorRegistry, server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "REQUEST_MAX_S", SHORT_S)
    entered, go_on = threading.Semaphore(0), threading.Event()

    def value() -> float:
        entered.release()
        go_on.wait(PATIENCE_S)
        return 1.0

    Gauge("slow", "slow", registry=registry).set_function(value)
    with ExitStack() as held:
        scraping = [held.enter_context(connected(server)) for _ in range(5)]
        for connection in scraping:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert all(has_ended(connection) for connection in scraping)
    monkeypatch.setattr(listener_module, "REQUEST_MAX_S", PATIENCE_S)
    go_on.set()
    assert status(server, "/metrics") == 200
    counted = 0
    while entered.acquire(blocking=False):
        counted += 1
    assert counted == 2, "the one that had begun, and the last"


@pytest.mark.usefixtures("hurried")
def test_a_request_that_comes_byte_by_byte_has_one_deadline(server: MetricsServer) -> None:
    with connected(server) as connection:
        connection.settimeout(SHORT_S / 20)
        sent = 0
        while True:
            try:
                connection.sendall(b"G")
                assert connection.recv(100) == b""
                break
            except TimeoutError:
                sent += 1
            except ConnectionError:
                break
        assert sent > 1
    assert status(server, "/healthz") == 200


@pytest.mark.usefixtures("hurried")
def test_an_answer_that_is_not_read_has_the_same_deadline(registry: CollectorRegistry, server: MetricsServer) -> None:
    Gauge("large", "x" * 10 * MEGABYTE, registry=registry)
    with connected(server) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        wait_until(lambda: open_connections(server) == 0)
        rest = 0
        try:
            while more := len(connection.recv(65_536)):
                rest += more
        except ConnectionError:
            pass
        assert rest < 10 * MEGABYTE


def test_a_large_answer_is_sent_whole_to_a_client_that_reads(
    registry: CollectorRegistry, server: MetricsServer
) -> None:
    Gauge("large", "x" * 10 * MEGABYTE, registry=registry)
    assert len(whole_answer(server, b"GET /metrics HTTP/1.1\r\n\r\n")) > 10 * MEGABYTE


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (b"GET /healthz HTTP/1.0\n\n", b"200 OK"),  # as people type it
        (b"\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n", b"200 OK"),
        (b"GET http://localhost/healthz HTTP/1.1\r\n\r\n", b"200 OK"),
        (b"GET //[ HTTP/1.1\r\n\r\n", b"400 Bad Request"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"400 Bad Request"),  # TLS
        (b"PRI * HTTP/2.0\r\n\r\n", b"400 Bad Request"),
        (b"GET /healthz\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 16_384, b"431 Request Header Fields Too Large"),
    ],
)
def test_each_request_gets_one_answer_and_the_connection_ends(server: MetricsServer, sent: bytes, line: bytes) -> None:
    answer = whole_answer(server, sent)
    assert answer.startswith(b"HTTP/1.1 " + line + b"\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"\r\nConnection: close\r\n" in answer


def test_a_client_that_will_send_no_more_gets_its_answer(server: MetricsServer) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
    with connected(server) as connection:
        connection.sendall(b"GET /rea")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""


def test_a_stop_waits_for_no_slow_client_and_for_answers_under_way(registry: CollectorRegistry) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def value() -> float:
        entered.set()
        go_on.wait(PATIENCE_S)
        return 1.0

    Gauge("slow", "slow", registry=registry).set_function(value)
    server = MetricsServer("127.0.0.1:0", registry, list)
    server.start()
    stopping = threading.Thread(target=server.stop)
    with connected(server) as silent, connected(server) as scraping:
        scraping.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert entered.wait(PATIENCE_S)
        stopping.start()
        assert has_ended(silent)
        go_on.set()
        assert scraping.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
    stopping.join(PATIENCE_S)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tickglass-metrics")]


def test_a_health_check_that_hangs_holds_up_neither_the_other_answers_nor_the_stop(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "DRAIN_S", SHORT_S)
    entered, go_on = threading.Event(), threading.Event()

    def hang() -> list[str]:
        entered.set()
        go_on.wait(PATIENCE_S)
        return []

    server = MetricsServer("127.0.0.1:0", registry, hang)
    server.start()
    with connected(server) as probe:
        probe.sendall(b"GET /readyz HTTP/1.1\r\n\r\n")
        assert entered.wait(PATIENCE_S)
        assert [status(server, path) for path in ("/healthz", "/metrics")] == [200, 200]
        server.stop()
        assert has_ended(probe)
    go_on.set()
    wait_until(lambda: not [it for it in threading.enumerate() if it.name.startswith("tickglass-metrics")])
