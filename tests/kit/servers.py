"""Real servers for tests: each on a free loopback port, in a directory of its own, ended afterwards.

A server that is not installed skips the test; with TICKGLASS_REQUIRE_SERVERS=1 it fails it.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import queue
import random
import shutil
import signal
import socket
import subprocess
import threading
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

import pytest
import redis
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE_S: Final = 15.0
_PORTS: Final = range(11_000, 21_000)


def find_server(name: str, *places: str) -> str:
    """Return the path of an installed program; skip or fail the test if there is none.

    Args:
        places: folders to look in beside those of PATH.
    """
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *places]))
    if found is not None:
        return found
    if os.environ.get("TICKGLASS_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{name} is not installed")
    pytest.skip(f"{name} is not installed")


@cache
def _ports() -> Iterator[int]:
    """Return the ports of this process in some order, over and over: no other worker of the session has them."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ours = _PORTS[worker :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]
    return itertools.cycle(random.SystemRandom().sample(ours, len(ours)))


def find_free_port() -> int:
    """Return a free loopback port, and not again for a long time: a server may be slow to take it.

    Below those that the kernel gives to clients, which could otherwise take it before
    the server does; and so is the port 10,000 above it, where a Redis Cluster gossips.
    """
    for port in itertools.islice(_ports(), len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    pytest.fail(f"no free port among {_PORTS}")


@pytest.fixture
def free_port() -> int:
    return find_free_port()


# --- Prometheus ---------------------------------------------------------------


class Prometheus:
    """A running Prometheus."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of an instant query: a list of metric and value."""
        found: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return found

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """Return the exemplars behind an expression, of all time."""
        found: list[dict[str, Any]] = self._get("query_exemplars", query=expression, start="0", end="9999999999")
        return found

    def _get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - any JSON
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return json.load(answer)["data"]


@contextmanager
def running_prometheus(home: Path, config: str, *options: str) -> Iterator[Prometheus]:
    """Run a Prometheus with this configuration and more options; it is ready when this is entered."""
    (home / "prometheus.yml").write_text(config)
    port = find_free_port()
    command = [
        find_server("prometheus"),
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        *options,
    ]
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server,
        reading(server) as lines,
    ):
        wait_for_line(lines, "ready to receive web requests")
        yield Prometheus(port)


@contextmanager
def reading(server: subprocess.Popen[str]) -> Iterator[queue.SimpleQueue[str | None]]:
    """Read what the server writes, so that it never blocks on its log; end it afterwards."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        assert server.stderr is not None
        for line in server.stderr:
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield lines
    finally:
        server.terminate()
        reader.join()


def wait_for_line(lines: queue.SimpleQueue[str | None], wanted: str) -> None:
    """Block until the server writes such a line."""
    seen = []
    while (line := lines.get(timeout=PATIENCE_S)) is not None:
        if wanted in line:
            return
        seen.append(line)
    pytest.fail(f"the server ended: {''.join(seen[-5:])}")


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[[int], Prometheus]]:
    """Return a function that starts a Prometheus which scrapes a loopback port five times a second."""
    with ExitStack() as running:

        def start(target_port: int) -> Prometheus:
            home = tmp_path / f"prometheus-{target_port}"
            home.mkdir()
            config = (
                "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
                "scrape_configs:\n"
                f"- {{job_name: tickglass, static_configs: [{{targets: ['127.0.0.1:{target_port}']}}]}}\n"
            )
            return running.enter_context(running_prometheus(home, config))

        yield start


class ScrapeBell:
    """A collector without metrics that knows how often it was asked: register it to wait for scrapes."""

    def __init__(self) -> None:
        self._asked = threading.Condition()
        self._count = 0

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> list[Any]:
        with self._asked:
            self._count += 1
            self._asked.notify_all()
        return []

    def wait_for_more(self, count: int) -> None:
        """Block until so many scrapes have begun from now on; all but the last of them are stored then."""
        with self._asked:
            wanted = self._count + count
            assert self._asked.wait_for(lambda: self._count >= wanted, PATIENCE_S), "nobody scrapes"


# --- Redis ----------------------------------------------------------------------


class RedisServer:
    """A Redis server in a directory of its own, which may be stopped, started again, and spoken to."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self.port = find_free_port()
        self.socket = home / "redis.sock"
        self._ready = f"at {self.socket}"  # the last line before connections are taken
        self._command = [find_server("redis-server")]
        if "--sentinel" in options:
            self._ready = "Sentinel ID is"
            self._command.append(str(home / "sentinel.conf"))  # it writes down there what it finds out
            (home / "sentinel.conf").touch()
        self._command += ["--port", str(self.port), "--bind", "127.0.0.1"]
        self._command += ["--unixsocket", str(self.socket), "--dir", str(home), "--save", "", *options]
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Return when it takes connections."""
        process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        ready = queue.SimpleQueue[str | None]()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                ready.put(line)
            process.stdout.close()
            ready.put(None)

        self._process, self._reader = process, threading.Thread(target=read)
        self._reader.start()
        wait_for_line(ready, self._ready)

    def kill(self, signal_: signal.Signals = signal.SIGKILL) -> None:
        """End it, at once and without a word; return when it is gone."""
        assert self._process is not None
        assert self._reader is not None
        self._process.send_signal(signal_)
        if signal_ not in (signal.SIGSTOP, signal.SIGCONT):
            self._process.wait(PATIENCE_S)
            self._reader.join(PATIENCE_S)

    def restart(self) -> None:
        self.kill()
        self.start()

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)  # it may stand still
            self.kill(signal.SIGTERM)

    def say(self, *words: str | int) -> Any:  # noqa: ANN401 - whatever it answers
        """Say one command and return the answer, texts decoded."""
        with redis.Redis(port=self.port, decode_responses=True, socket_timeout=PATIENCE_S, protocol=2) as client:
            return client.execute_command(*words)


@pytest.fixture(scope="session")
def session_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], RedisServer]]:
    """Return a function that gives the session's n-th Redis server; they write what they are told to a file."""
    servers: dict[int, RedisServer] = {}

    def server(number: int) -> RedisServer:
        if number not in servers:
            servers[number] = RedisServer(tmp_path_factory.mktemp("redis"), "--appendonly", "yes")
            servers[number].start()
        return servers[number]

    yield server
    for started in servers.values():
        started.end()


@pytest.fixture
def redis_servers(session_redis: Callable[[int], RedisServer]) -> Callable[[int], list[RedisServer]]:
    """Return a function that gives so many empty servers of the session."""

    def some(count: int) -> list[RedisServer]:
        servers = [session_redis(number) for number in range(count)]
        for server in servers:
            server.say("FLUSHALL")
        return servers

    return some


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RedisServer]]:
    """Return a function that starts a server which the test may harm; options as for redis-server."""
    with ExitStack() as running:

        def start(*options: str) -> RedisServer:
            server = RedisServer(tmp_path_factory.mktemp("redis"), *options)
            running.callback(server.end)
            server.start()
            return server

        yield start


# --- etcd -----------------------------------------------------------------------


class EtcdServer:
    """A cluster of one, in a directory of its own, which may be stopped and started again.

    Its elections are quick, because the shortest lease that etcd grants is one and a half of them.
    """

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self.port, peers = find_free_port(), f"http://127.0.0.1:{find_free_port()}"
        clients = f"http://127.0.0.1:{self.port}"
        self._command = [find_server("etcd"), "--data-dir", str(home / "data"), "--logger", "zap"]
        self._command += ["--listen-client-urls", clients, "--advertise-client-urls", clients]
        self._command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
        self._command += ["--initial-cluster", f"default={peers}", "--heartbeat-interval", "50"]
        self._command += ["--election-timeout", "500", *options]
        self._running = ExitStack()
        self._process: subprocess.Popen[str] | None = None

    def url(self, prefix: str, **options: str) -> str:
        return f"etcd://127.0.0.1:{self.port}?" + "&".join(f"{k}={v}" for k, v in {"prefix": prefix, **options}.items())

    def start(self) -> None:
        """Return when it takes requests."""
        process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        with ExitStack() as running:
            self._process = running.enter_context(process)
            wait_for_line(running.enter_context(reading(process)), "serving client traffic insecurely")
            self._running = running.pop_all()

    def stop(self) -> None:
        self._running.close()

    def say(self, what: str, **words: object) -> Any:  # noqa: ANN401 - any JSON
        """Ask for something over the JSON side: say("kv/put", key=..., value=...), bytes in base64."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v3/{what}", json.dumps(words).encode())
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """One server for all who use a prefix of their own and do it no harm."""
    server = EtcdServer(tmp_path_factory.mktemp("etcd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    """A server that the test may harm."""
    server = EtcdServer(tmp_path)
    server.start()
    yield server
    server.thaw()
    server.stop()


# --- OpenTelemetry --------------------------------------------------------------


class OtlpReceiver:
    """Takes spans over OTLP/HTTP and lets a test wait for them."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._spans: list[Span] = []
        self._resources: list[dict[str, str]] = []
        self.endpoint = ""

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._arrived:
            for resource_spans in request.resource_spans:
                attributes = resource_spans.resource.attributes
                self._resources.append({item.key: item.value.string_value for item in attributes})
                for scope_spans in resource_spans.scope_spans:
                    self._spans.extend(scope_spans.spans)
            self._arrived.notify_all()

    def wait_for(self, *names: str) -> dict[str, Span]:
        """Block until a span of each name has come; return the last of each."""
        with self._arrived:
            known = self._arrived.wait_for(lambda: set(names) <= {span.name for span in self._spans}, PATIENCE_S)
            assert known, f"had only {[span.name for span in self._spans]}"
            return {span.name: span for span in self._spans}

    def trace_ids(self, name: str) -> set[str]:
        """Return the traces that have a span of that name."""
        with self._arrived:
            return {span.trace_id.hex() for span in self._spans if span.name == name}

    @property
    def resources(self) -> list[dict[str, str]]:
        with self._arrived:
            return list(self._resources)


@pytest.fixture
def otlp_receiver() -> Iterator[OtlpReceiver]:
    receiver = OtlpReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        receiver.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        yield receiver
        server.shutdown()
