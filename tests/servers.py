"""Real servers for tests: each on a free loopback port, in a directory of its own, ended afterwards.

A server that is not installed skips the test; with TICKGLASS_REQUIRE_SERVERS=1 it fails it.
"""

from __future__ import annotations

import gzip
import json
import os
import queue
import shutil
import socket
import subprocess
import threading
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE_S: Final = 15.0


def find_server(name: str) -> str:
    """Return the path of an installed program; skip or fail the test if there is none."""
    found = shutil.which(name)
    if found is not None:
        return found
    if os.environ.get("TICKGLASS_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{name} is not installed")
    pytest.skip(f"{name} is not installed")


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
        return self._get("query", query=expression)["result"]

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """Return the exemplars behind an expression, of all time."""
        return self._get("query_exemplars", query=expression, start="0", end="9999999999")

    def _get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - any JSON
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return json.load(answer)["data"]


@contextmanager
def running_prometheus(home: Path, config: str) -> Iterator[Prometheus]:
    """Run a Prometheus with this configuration; it is ready when this is entered."""
    (home / "prometheus.yml").write_text(config)
    port = find_free_port()
    command = [
        find_server("prometheus"),
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
    ]
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server,
        _reading(server) as lines,
    ):
        _wait_for_line(lines, "ready to receive web requests")
        yield Prometheus(port)


@contextmanager
def _reading(server: subprocess.Popen[str]) -> Iterator[queue.SimpleQueue[str | None]]:
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


def _wait_for_line(lines: queue.SimpleQueue[str | None], wanted: str) -> None:
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
