"""A port that nobody chose ends no process; one that was chosen is served, or refused with what else to write."""

from __future__ import annotations

import logging
import socket
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.errors import ConfigError
from tickglass.telemetry.endpoint.address import DEFAULT_PORT, SIDECAR_PORT, listening_at, parse_listen, url_at

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("listen", "parsed"),
    [
        (":9464", ("", 9464)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("localhost:9464", ("localhost", 9464)),
        ("[::1]:9464", ("::1", 9464)),
        ("[::]:65535", ("::", 65535)),
        ("localhost", ("localhost", None)),
        ("127.0.0.1", ("127.0.0.1", None)),
        ("web-1.internal", ("web-1.internal", None)),
        ("[::1]", ("::1", None)),
    ],
)
def test_an_address_is_a_host_and_a_port_or_a_host_alone(listen: str, parsed: tuple[str, int | None]) -> None:
    assert parse_listen(listen) == parsed


@pytest.mark.parametrize(
    "listen",
    [
        "",
        "9464",
        ":",
        "::1:9464",
        "::1",
        "[]",
        "localhost/metrics",
        "local host",
        "-x",
        "127.0.0.1:http",
        ":65536",
        ":-1",
        "http://x:1",
        "[]:1",
        "a b:1 ",
        ":\u0669\u0664\u0666\u0664",
        ":" + "1" * 5_000,
    ],
)
def test_anything_else_is_refused_with_right_spellings(listen: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_listen(listen)
    assert '":9464"' in str(refused.value)


@pytest.fixture
def busy() -> Iterator[int]:
    """Have the default port and the next one in use, whoever uses them; return the last of them."""
    with ExitStack() as taken:
        for port in (DEFAULT_PORT, DEFAULT_PORT + 1):
            with suppress(OSError):  # somebody uses it already
                taken.enter_context(socket.create_server(("127.0.0.1", port)))
        yield DEFAULT_PORT + 1


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_without_a_port_the_next_free_one_is_taken_and_told(
    host: str, busy: int, caplog: pytest.LogCaptureFixture
) -> None:
    with listening_at(host) as found:
        address, port = found.getsockname()
        assert address == "127.0.0.1"
        assert port > busy
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, f"port {DEFAULT_PORT} is in use on {host}, so {port} is used instead")
    ]


def test_a_port_that_was_asked_for_is_served_or_refused_with_what_else_to_write(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="Address already in use; without a port, the first free") as refused:
            listening_at(f"127.0.0.1:{port}")
        assert refused.value.instead == ('"127.0.0.1"', f'"127.0.0.1:{port + 1}"')
        with pytest.raises(ConfigError, match="Address already in use") as refused:
            listening_at(f":{port}")
        assert refused.value.instead == ('"localhost"', f'":{port + 1}"')
    with listening_at(f"127.0.0.1:{port}") as found:
        assert found.getsockname()[1] == port
    assert caplog.records == []


@pytest.mark.parametrize("listen", ["192.0.2.1", "192.0.2.1:0"])
def test_an_address_of_another_machine_is_refused(listen: str) -> None:
    with pytest.raises(ConfigError, match="cannot listen on this address: Cannot assign"):
        listening_at(listen)


def test_the_sidecar_has_a_port_that_no_scheduler_takes() -> None:
    assert SIDECAR_PORT < DEFAULT_PORT


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://localhost:1"),
        ("0.0.0.0", "http://localhost:1"),
        ("::1", "http://[::1]:1"),
        ("127.0.0.1", "http://127.0.0.1:1"),
    ],
)
def test_the_url_is_one_that_a_browser_here_can_open(host: str, url: str) -> None:
    assert url_at(host, 1) == url
