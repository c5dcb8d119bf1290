"""The server listens where it is told, answers as itself, and leaves nothing behind."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tickglass.sched.errors import ConfigError
from tickglass.telemetry.sidecar.web import SidecarServer

if TYPE_CHECKING:
    from collections.abc import Callable


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


def test_an_address_in_use_is_named(scene: Any) -> None:  # noqa: ANN401
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match="cannot listen on this address"):
            SidecarServer(listen, scene.app()).start()


def test_an_address_written_badly_is_refused(scene: Any) -> None:  # noqa: ANN401
    with pytest.raises(ConfigError, match="host:port"):
        SidecarServer("9464", scene.app())
