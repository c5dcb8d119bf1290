"""A scrape inside an application: its own registry, or an app that it mounts; over real servers."""

from __future__ import annotations

import asyncio
import gc
import gzip
import http.client
import socket
import threading
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import uvicorn
from kit.own_process import nothing
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Mount

from tickglass import ConfigError, Scheduler, every
from tickglass.sched.events import OccurrenceMoved
from tickglass.telemetry import MetricsAsgiApp, MetricsWsgiApp
from tickglass.telemetry.catalogue import metrics
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.usefixtures("own_runtime")

PATIENCE_S = 10.0


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """A scheduler that runs, and has run a job."""
    sink = ListSink()
    scheduler = Scheduler("memory://", sinks={"told": sink})
    scheduler.add(nothing, every("10ms"), name="job")
    with scheduler:
        sink.wait_for(lambda told: isinstance(told, OccurrenceMoved) and told.event == "ended")
        gc.collect()
        yield scheduler


class Answer:
    def __init__(self, port: int, method: str = "GET", path: str = "/metrics/", **headers: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()
        connection.close()

    @property
    def families(self) -> set[str]:
        return {family.name for family in text_string_to_metric_families(self.body.decode())}


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as it is declared
        """Say nothing."""


@pytest.fixture
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], int]]:
    """Return a function that serves an app of the kind of the test, and returns the port."""
    ends: list[Callable[[], object]] = []

    def wsgi(app: Any) -> int:  # noqa: ANN401 - an app
        server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        ends.extend([server.shutdown, thread.join, server.server_close])
        return int(server.server_port)

    def asgi(app: Any) -> int:  # noqa: ANN401 - an app
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(Starlette(routes=[Mount("/metrics", app)]), log_level="error", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        ends.extend([lambda: setattr(server, "should_exit", True), thread.join, listening.close])
        return int(listening.getsockname()[1])

    yield asgi if request.node.callspec.params["kind"] is MetricsAsgiApp else wsgi
    for end in ends:
        end()


both = pytest.mark.parametrize("kind", [MetricsAsgiApp, MetricsWsgiApp])


@both
def test_an_app_answers_with_all_metrics(kind: Any, serve: Callable[[Any], int], scheduler: Scheduler) -> None:  # noqa: ANN401
    port = serve(kind(scheduler.collector))
    scrape = Answer(port)
    assert (scrape.status, scrape.headers["Cache-Control"]) == (200, "no-store")
    assert {metric.family for metric in metrics()} >= scrape.families
    assert {"tickglass_job_outcomes", "tickglass_gc_pause_seconds", "tickglass_scheduler_state"} <= scrape.families
    assert b'tickglass_job_due_total{job_name="job",service="default"}' in scrape.body


@both
def test_an_app_speaks_as_the_client_prefers(kind: Any, serve: Callable[[Any], int], scheduler: Scheduler) -> None:  # noqa: ANN401
    port = serve(kind(scheduler.collector))
    packed = Answer(port, Accept_Encoding="gzip", Accept="application/openmetrics-text;version=1.0.0")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Content-Type"].startswith("application/openmetrics-text")
    assert gzip.decompress(packed.body).endswith(b"# EOF\n")
    head = Answer(port, "HEAD")
    assert (head.status, head.body, int(head.headers["Content-Length"]) > 1_000) == (200, b"", True)


@both
def test_an_app_refuses_what_it_does_not_answer(kind: Any, serve: Callable[[Any], int], scheduler: Scheduler) -> None:  # noqa: ANN401
    port = serve(kind(scheduler.collector, token="s3cret"))
    post = Answer(port, "POST")
    assert (post.status, post.headers["Allow"]) == (405, "GET, HEAD")
    for wrong in ({}, {"Authorization": "Bearer wrong"}):
        refused = Answer(port, **wrong)
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Bearer realm="tickglass"')
        assert b"tickglass_job" not in refused.body
    assert Answer(port, Authorization="Bearer s3cret").status == 200
    with pytest.raises(ConfigError, match="the token in token="):
        kind(scheduler.collector, token="two words")


def test_a_registry_of_the_application_takes_one_scheduler_before_its_start() -> None:
    registry = CollectorRegistry()
    Counter("shop_orders", "Orders.", registry=registry).inc()
    scheduler = Scheduler("memory://")
    registry.register(scheduler.collector)
    with scheduler:
        text = generate_latest(registry).decode()
    assert "shop_orders_total 1.0" in text
    assert 'tickglass_scheduler_state{service="default",state="running"} 1.0' in text
    assert 'tickglass_scheduler_state{service="default",state="stopped"} 1.0' in generate_latest(registry).decode()
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(Scheduler("memory://").collector)


def test_a_web_socket_is_refused() -> None:
    async def never() -> Any:  # noqa: ANN401 - a message
        raise AssertionError("nothing is received")

    app = MetricsAsgiApp(CollectorRegistry())
    with pytest.raises(ValueError, match="over HTTP, not websocket"):
        asyncio.run(app({"type": "websocket"}, never, never))  # type: ignore[arg-type]


def test_an_asgi_app_alone_follows_the_servers_life() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(MetricsAsgiApp(CollectorRegistry()), log_level="error", lifespan="on", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    assert Answer(listening.getsockname()[1], path="/").status == 200
    server.should_exit = True
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    listening.close()
