"""The HTTP server: what it answers, what it refuses, and that it leaves nothing behind."""

from __future__ import annotations

import gc
import gzip
import http.client
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from kit.metrics_stage import Stage

from tickglass.sched.errors import ConfigError
from tickglass.telemetry import MetricsServer

if TYPE_CHECKING:
    from collections.abc import Iterator

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


@pytest.fixture
def reasons() -> list[str]:
    """Why the process is not ready."""
    return []


@pytest.fixture
def server(stage: Stage, reasons: list[str]) -> Iterator[MetricsServer]:
    server = MetricsServer("127.0.0.1:0", stage.metrics.registry, lambda: reasons)
    server.start()
    yield server
    server.stop()


class Answer:
    def __init__(self, port: int, path: str, method: str = "GET", host: str = "127.0.0.1", **headers: str) -> None:
        connection = http.client.HTTPConnection(host, port, timeout=10)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()
        connection.close()


def test_metrics_are_text_or_openmetrics_as_asked_for(stage: Stage, server: MetricsServer) -> None:
    stage.register("nightly")
    plain = Answer(server.port, "/metrics")
    assert (plain.status, plain.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'tickglass_job_due_total{job_name="nightly"} 0.0' in plain.body
    fancy = Answer(server.port, "/metrics?x=1", Accept=OPENMETRICS)
    assert fancy.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert fancy.body.endswith(b"# EOF\n")


def test_metrics_are_packed_where_the_client_can_unpack(server: MetricsServer) -> None:
    packed = Answer(server.port, "/metrics", Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert b"# HELP distributed_lock_held_seconds" in gzip.decompress(packed.body)


def test_pauses_of_the_garbage_collector_are_seen_while_serving(stage: Stage, server: MetricsServer) -> None:
    unseen = 'tickglass_gc_pause_seconds_count{generation="2"} 0.0'
    for _ in range(100):  # a collection does nothing while another thread is in one
        gc.collect()
        if unseen not in Answer(server.port, "/metrics").body.decode().splitlines():
            break
    else:
        raise AssertionError("no collection was seen")
    server.stop()
    assert "tickglass_gc_pause_seconds" not in stage.text()


def test_readiness_tells_why_not(server: MetricsServer, reasons: list[str]) -> None:
    ready = Answer(server.port, "/readyz")
    assert (ready.status, ready.body) == (200, b"ready\n")
    reasons += ["the store has not answered for 12 s", "the timeline has stalled"]
    unready = Answer(server.port, "/readyz")
    assert (unready.status, unready.body.decode().splitlines()) == (503, reasons)
    assert Answer(server.port, "/healthz").status == 200
    reasons[:] = ["the store said \x1b[2J\nready"]
    assert Answer(server.port, "/readyz").body.decode() == "the store said ␛[2J␊ready\n"


def test_a_health_check_that_raises_is_an_error_not_a_silence(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> list[str]:
        raise ValueError("no idea")

    server = MetricsServer("127.0.0.1:0", stage.metrics.registry, broken)
    server.start()
    try:
        assert Answer(server.port, "/readyz").status == 500
        assert "no idea" in caplog.text
    finally:
        server.stop()


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/", "/nowhere"])
def test_head_answers_as_get_without_a_body(server: MetricsServer, path: str) -> None:
    head, get = Answer(server.port, path, "HEAD"), Answer(server.port, path)
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert get.status == (404 if path == "/nowhere" else 200)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_other_methods_are_refused(server: MetricsServer, method: str) -> None:
    answer = Answer(server.port, "/metrics", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_a_client_that_says_nothing_holds_nobody_up(server: MetricsServer) -> None:
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    try:
        assert Answer(server.port, "/healthz").status == 200
    finally:
        for connection in silent:
            connection.close()


def test_a_port_in_use_is_refused_by_name(stage: Stage, server: MetricsServer) -> None:
    listen = f"127.0.0.1:{server.port}"
    second = MetricsServer(listen, Stage().metrics.registry, list)
    with pytest.raises(ConfigError, match=listen):
        second.start()
    second.stop()
    with pytest.raises(ConfigError, match=r"no\.such\.host\.invalid"):
        MetricsServer("no.such.host.invalid:1", stage.metrics.registry, list).start()


def test_a_bound_port_is_taken_and_clients_are_answered_from_the_start_on(stage: Stage, free_port: int) -> None:
    server = MetricsServer(f"127.0.0.1:{free_port}", stage.metrics.registry, list)
    server.bind()
    with pytest.raises(ConfigError, match="Address already in use"):
        MetricsServer(f"127.0.0.1:{free_port}", Stage().metrics.registry, list).bind()
    with socket.create_connection(("127.0.0.1", free_port), timeout=10) as early:
        early.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server.start()
        assert early.recv(100).startswith(b"HTTP/1.1 200")
    server.stop()


def test_a_bound_port_is_free_again_after_a_stop_without_a_start(stage: Stage, free_port: int) -> None:
    server = MetricsServer(f"127.0.0.1:{free_port}", stage.metrics.registry, list)
    server.bind()
    server.stop()
    socket.create_server(("127.0.0.1", free_port)).close()


def test_one_registry_is_served_once(stage: Stage, server: MetricsServer) -> None:
    with pytest.raises(ValueError, match="Duplicated"):
        MetricsServer("127.0.0.1:0", stage.metrics.registry, list).start()
    assert Answer(server.port, "/healthz").status == 200


def test_without_a_host_it_listens_on_all_interfaces(stage: Stage, free_port: int) -> None:
    server = MetricsServer(f":{free_port}", stage.metrics.registry, list)
    server.start()
    try:
        assert Answer(free_port, "/healthz").status == 200
        if socket.has_dualstack_ipv6():
            assert Answer(free_port, "/healthz", host="::1").status == 200
    finally:
        server.stop()


def test_nothing_is_left_after_stop_and_it_can_start_again(stage: Stage) -> None:
    threads, callbacks = threading.active_count(), len(gc.callbacks)
    server = MetricsServer("127.0.0.1:0", stage.metrics.registry, list)
    assert (server.port, threading.active_count()) == (0, threads)
    for _ in range(2):
        server.start()
        port = server.port
        assert Answer(port, "/healthz").status == 200
        server.stop()
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
    assert len(gc.callbacks) == callbacks
    assert [thread.name for thread in threading.enumerate() if thread.name == "tickglass-metrics"] == []


# --- who may ask


@pytest.fixture
def guarded(stage: Stage, reasons: list[str]) -> Iterator[MetricsServer]:
    server = MetricsServer("127.0.0.1:0", stage.metrics.registry, lambda: reasons, token="s3cret\n")
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("path", ["/metrics", "/", "/nowhere"])
def test_with_a_token_only_those_who_have_it_are_answered(guarded: MetricsServer, path: str) -> None:
    refused = Answer(guarded.port, path)
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Bearer realm="tickglass"')
    for wrong in ("Bearer wrong", "Bearer ", "Basic s3cret", "s3cret", "Bearer s3cret s3cret", "Bearer é"):
        assert Answer(guarded.port, path, Authorization=wrong).status == 401
    expected = 404 if path == "/nowhere" else 200
    assert Answer(guarded.port, path, Authorization="Bearer s3cret").status == expected
    assert Answer(guarded.port, path, Authorization="bearer  s3cret", Host="shop.example").status == expected


def test_a_probe_needs_no_token_and_is_told_no_reasons(guarded: MetricsServer, reasons: list[str]) -> None:
    assert Answer(guarded.port, "/healthz").status == 200
    probe = Answer(guarded.port, "/readyz")
    assert (probe.status, probe.body) == (200, b"ready\n")
    reasons.append("the redis store at 10.0.0.7 is away")
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        probe = Answer(guarded.port, "/readyz", **headers)
        assert probe.status == 503
        assert b"10.0.0.7" not in probe.body
    told = Answer(guarded.port, "/readyz", Authorization="Bearer s3cret")
    assert (told.status, told.body) == (503, b"the redis store at 10.0.0.7 is away\n")


@pytest.mark.parametrize("token", [" ", "a b", "ä"])
def test_what_no_header_can_carry_is_no_token(stage: Stage, token: str) -> None:
    with pytest.raises(ConfigError, match="the token in token="):
        MetricsServer("127.0.0.1:0", stage.metrics.registry, list, token=token)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "localhost.evil.example", "192.0.2.1", "a b"])
def test_a_name_that_was_made_to_mean_this_machine_is_not_answered(server: MetricsServer, host: str) -> None:
    for path in ("/metrics", "/readyz", "/healthz", "/"):
        assert Answer(server.port, path, Host=host).status == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:9464", "[::1]:9464", "app.localhost", ""])
def test_this_machine_by_its_own_names_is_answered(server: MetricsServer, host: str) -> None:
    assert Answer(server.port, "/metrics", Host=host).status == 200


def test_another_sites_page_is_not_answered(server: MetricsServer) -> None:
    assert Answer(server.port, "/metrics", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors").status == 421
    assert Answer(server.port, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200


@pytest.mark.parametrize(
    ("host", "token", "warned"),
    [("", "", True), ("0.0.0.0", "", True), ("", "s3cret", False), ("127.0.0.1", "", False), ("localhost", "", False)],
)
def test_an_address_that_others_reach_is_warned_of_unless_there_is_a_token(
    stage: Stage, free_port: int, host: str, token: str, *, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server = MetricsServer(f"{host}:{free_port}", stage.metrics.registry, list, token=token)
    server.start()
    server.stop()
    assert ("TICKGLASS_TOKEN sets a token" in caplog.text) == warned
