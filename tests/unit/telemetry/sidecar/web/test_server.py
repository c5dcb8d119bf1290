"""The server listens where it is told, answers as itself, and leaves nothing behind."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from kit.rig import wait_until

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS
from tickglass.sched.errors import ConfigError
from tickglass.telemetry.sidecar.web import SidecarServer
from tickglass.telemetry.sidecar.web import server as server_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHORT_S = 0.2
PATIENCE_S = 15.0


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), PATIENCE_S) as connection:
        yield connection


def ask_for_health(connection: socket.socket) -> None:
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while not answer.endswith(b"ok\n"):
        answer += (more := connection.recv(4_096))
        assert more
    assert answer.startswith(b"HTTP/1.1 200 ")


def ends(connection: socket.socket) -> bool:
    """Block until the other side ends a connection."""
    with suppress(ConnectionResetError):
        while connection.recv(4_096):
            pass
    return True


def test_it_serves_and_stops_and_serves_again(scene: Any) -> None:  # noqa: ANN401
    server = SidecarServer("127.0.0.1:0", scene.app())
    assert server.port == 0
    before = threading.active_count()
    server.start()
    port = server.port
    assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    server.stop()
    server.stop()
    assert server.port == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "tickglass-sidecar-web"]
    assert threading.active_count() <= before + 2, "the pool of threads is the library's, and goes with the process"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/")


def test_it_does_not_say_what_it_is_made_of(served: Callable[..., str]) -> None:
    assert "server" not in httpx.get(f"{served()}/healthz").headers


def test_all_interfaces_means_both_protocols(scene: Any) -> None:  # noqa: ANN401
    server = SidecarServer(":0", scene.app())
    server.start()
    try:
        hosts = ["127.0.0.1", *(["[::1]"] if socket.has_dualstack_ipv6() else [])]
        assert [httpx.get(f"http://{host}:{server.port}/healthz").text for host in hosts] == ["ok\n"] * len(hosts)
    finally:
        server.stop()


def test_a_name_that_was_made_to_mean_this_machine_is_not_answered(scene: Any, served: Callable[..., str]) -> None:  # noqa: ANN401
    url = served()
    assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 421
    assert httpx.get(url, headers={"Host": "localhost"}).status_code == 200
    assert scene.looks == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: local",
        b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\ntoken",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\ntoken",
        (
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\ntoken"
        ),
    ],
)
def test_who_does_not_send_a_whole_request_is_let_go(
    served: Callable[..., str], monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(server_module, "REQUEST_MAX_S", SHORT_S)
    with connected(served(token="s3cret")) as connection:
        connection.sendall(sent)
        assert ends(connection)


def test_nor_who_does_so_after_another_request(served: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_MAX_S", SHORT_S)
    with connected(served()) as connection:
        ask_for_health(connection)
        connection.sendall(b"GET /healthz HT")
        assert ends(connection)


def test_an_answer_may_take_longer_than_its_request(
    served: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "REQUEST_MAX_S", SHORT_S)
    with httpx.stream("GET", f"{served(every_s=SHORT_S / 4)}/events", timeout=PATIENCE_S) as answer:
        events = (line for line in answer.iter_lines() if line == "event: regions")
        assert all(next(events) for _ in range(12))


def test_an_answer_that_is_not_taken_is_given_up(
    scene: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "REQUEST_MAX_S", SHORT_S)
    monkeypatch.setattr(scene, "scrape", lambda _: ("text/plain", b"x" * 10_000_000))
    server = SidecarServer("127.0.0.1:0", scene.app())
    server.start()
    try:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.settimeout(PATIENCE_S)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
            assert server._server is not None
            connections = server._server.server_state.connections
            wait_until(lambda: not connections)
            rest = 0
            with suppress(ConnectionError):
                while more := len(connection.recv(65_536)):
                    rest += more
            assert rest < 10_000_000
    finally:
        server.stop()


def test_an_answer_over_a_connection_that_stays_open_waits_for_no_acknowledgement(served: Callable[..., str]) -> None:
    clock = SystemClock()
    waits = []
    with connected(served()) as connection:
        for _ in range(10):
            asked_ns = clock.monotonic_ns()
            ask_for_health(connection)
            waits.append(clock.monotonic_ns() - asked_ns)
    assert min(waits[1:]) < 30 * MS, "Linux delays an acknowledgement by 40 ms"


def test_those_who_only_hold_connections_keep_nobody_from_an_answer(
    served: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS_MAX", 8)
    url = served(token="s3cret")
    with ExitStack() as held:
        idle = [held.enter_context(connected(url)) for _ in range(20)]
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert httpx.get(f"{url}/metrics", headers={"Authorization": "Bearer s3cret"}).status_code == 200
        assert ends(idle[0]), "the one that kept us waiting for longest"
        ask_for_health(idle[-1])


def test_nor_do_those_who_hold_them_after_an_answer(
    served: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS_MAX", 8)
    url = served(token="s3cret")
    with ExitStack() as held:
        for _ in range(20):
            ask_for_health(held.enter_context(connected(url)))


def test_an_address_in_use_is_named(scene: Any) -> None:  # noqa: ANN401
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match="cannot listen on this address"):
            SidecarServer(listen, scene.app()).start()


def test_an_address_written_badly_is_refused(scene: Any) -> None:  # noqa: ANN401
    with pytest.raises(ConfigError, match="host:port"):
        SidecarServer("9464", scene.app())
