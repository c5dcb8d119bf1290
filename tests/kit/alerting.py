"""A real Alertmanager, and a webhook that it notifies."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from kit.servers import PATIENCE_S, find_free_port, find_server, reading, wait_for_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Alertmanager:
    """A running Alertmanager."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"

    def alerts(self) -> list[dict[str, Any]]:
        """Return all alerts it knows of, with what became of them."""
        with urllib.request.urlopen(f"http://{self.address}/api/v2/alerts", timeout=PATIENCE_S) as answer:
            found: list[dict[str, Any]] = json.load(answer)
            return found


@contextmanager
def running_alertmanager(home: Path, config: str) -> Iterator[Alertmanager]:
    """Run an Alertmanager with this configuration; it is ready when this is entered."""
    (home / "alertmanager.yml").write_text(config)
    port = find_free_port()
    command = [
        find_server("prometheus-alertmanager"),
        f"--config.file={home / 'alertmanager.yml'}",
        f"--storage.path={home / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server,
        reading(server) as lines,
    ):
        wait_for_line(lines, "Listening on")
        yield Alertmanager(port)


class Webhook:
    """Takes Alertmanager's notifications, and lets a test wait for one."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self.alerts: list[dict[str, Any]] = []
        self.url = ""

    def take(self, receiver: str, body: bytes) -> None:
        with self._arrived:
            self.alerts += [{**alert, "receiver": receiver} for alert in json.loads(body)["alerts"]]
            self._arrived.notify_all()

    def wait_for(self, alert: str, *, patience_s: float, **labels: str) -> dict[str, Any]:
        """Block until a notification says that such an alert fires; return it."""
        wanted = {"alertname": alert, **labels}.items()

        def found() -> list[dict[str, Any]]:
            return [one for one in self.alerts if one["status"] == "firing" and wanted <= one["labels"].items()]

        with self._arrived:
            in_time = self._arrived.wait_for(lambda: bool(found()), patience_s)
            received = sorted({one["labels"]["alertname"] for one in self.alerts})
            assert in_time, f"{alert}: received only {received}"
            return found()[0]


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.take(self.path.strip("/"), self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        hook.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield hook
        server.shutdown()
