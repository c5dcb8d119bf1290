"""Open pages are told what changes, all of them alike, and nobody holds up another."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
from kit.view_samples import ill, well

from tickglass.telemetry.sidecar.web import hub as hub_module
from tickglass.telemetry.sidecar.web.hub import CLIENTS_MAX, EventStream, Hub
from tickglass.telemetry.sidecar.web.selection import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pytest

FAST_S = 0.02
PATIENCE_S = 15.0


class Listener:
    """One open page."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()

    def next(self, kind: str = "regions") -> dict[str, str]:
        """Block until the next event of a kind; return what it says."""
        for line in self._lines:
            if line == f"event: {kind}":
                text = next(self._lines).removeprefix("data: ")
                return json.loads(text) if kind == "regions" else {}
        raise AssertionError("the stream ended")

    def wait_for(self, region: str, words: str) -> dict[str, str]:
        """Block until a region says so; return the event that brought it."""
        while words not in (changed := self.next()).get(region, ""):
            pass
        return changed

    def ends(self) -> bool:
        """Block until the stream ends."""
        return not [line for line in self._lines if line == "event: never"]


@contextmanager
def listening(url: str) -> Iterator[Listener]:
    with httpx.stream("GET", url, timeout=PATIENCE_S) as answer:
        yield Listener(answer)


def test_the_first_event_holds_all_and_the_next_only_what_changed(scene: Any, served: Callable[..., str]) -> None:  # noqa: ANN401
    url = served(every_s=FAST_S)
    with listening(f"{url}/events") as page:
        assert page.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert page.answer.headers["cache-control"] == "no-store"
        assert set(page.next()) == {
            "state",
            "problems",
            "jobs",
            "timeline",
            "locks",
            "schedulers",
            "instances",
            "stores",
        }
        view = well()
        scene.view = msgspec.structs.replace(view, stores=[msgspec.structs.replace(view.stores[0], leases=12)])
        assert set(page.wait_for("stores", "12 leases")) == {"stores"}


def test_a_stuck_lock_is_told_to_everybody_who_looks(scene: Any, served: Callable[..., str]) -> None:  # noqa: ANN401
    url = served(every_s=FAST_S)
    with listening(f"{url}/events") as board, listening(f"{url}/events?job=reconcile") as job:
        assert "All well" in board.next()["problems"]
        assert "All well" in job.next()["problems"]
        scene.view = ill()
        for page in (board, job):
            page.wait_for("problems", "Not well: lock ledger:eu")


def test_open_pages_share_one_view_and_without_pages_none_is_made(scene: Any, served: Callable[..., str]) -> None:  # noqa: ANN401
    url = served(every_s=3_600)
    with ExitStack() as open_pages:
        for _ in range(10):
            open_pages.enter_context(listening(f"{url}/events"))
        scene.wait_for_looks(1)
        assert scene.looks == 1
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert scene.looks == 1


def test_a_probe_that_fails_is_reported_and_the_next_one_is_shown(scene: Any, served: Callable[..., str]) -> None:  # noqa: ANN401
    url = served(every_s=FAST_S)
    with listening(f"{url}/events") as page:
        page.next()
        scene.view = RuntimeError("no sight")
        page.next("stale")
        scene.view = ill()
        page.wait_for("problems", "Not well")


def test_pages_are_bounded(scene: Any, served: Callable[..., str]) -> None:  # noqa: ANN401
    url = served(every_s=3_600)
    with ExitStack() as open_pages:
        for _ in range(CLIENTS_MAX):
            assert open_pages.enter_context(listening(f"{url}/events")).answer.status_code == 200
        full = httpx.get(f"{url}/events")
        assert (full.status_code, full.headers["retry-after"]) == (503, "10")
        assert httpx.get(url).status_code == 200, "the page itself can still be had"


def test_a_client_that_reads_nothing_holds_up_nobody(scene: Any, served: Callable[..., str]) -> None:  # noqa: ANN401
    url = served(every_s=FAST_S)
    port = int(url.rpartition(":")[2])
    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        stuck.connect(("127.0.0.1", port))
        stuck.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with listening(f"{url}/events") as page:
            for number in range(40):  # some 25 kB each: far more than the buffers between us and the stuck one
                scene.view, words = (well(), "All well") if number % 2 else (ill(), "Not well")
                page.wait_for("problems", words)


def test_stopping_ends_open_pages_at_once(scene: Any) -> None:  # noqa: ANN401
    from tickglass.telemetry.sidecar.web import SidecarServer  # noqa: PLC0415

    server = SidecarServer("127.0.0.1:0", scene.app(every_s=FAST_S))
    server.start()
    with listening(f"http://127.0.0.1:{server.port}/events") as page:
        page.next()
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        assert page.ends()
        stopper.join(PATIENCE_S)
        assert not stopper.is_alive()


# --- without a network: what a slow client costs


def drawing(looks: list[int]) -> Callable[[Sequence[Subject]], Mapping[Subject, Mapping[str, str]]]:
    def draw(subjects: Sequence[Subject]) -> Mapping[Subject, Mapping[str, str]]:
        looks.append(len(subjects))
        return {subject: {"state": f"<p id=state>{len(looks)}</p>", "same": "<p id=same></p>"} for subject in subjects}

    return draw


def test_a_slow_client_skips_pictures_and_gets_the_latest_of_each_part() -> None:
    async def play() -> None:
        looks: list[int] = []
        hub = Hub(drawing(looks), 0.001)
        feed = hub.join(Subject())
        assert feed is not None
        events = hub.events(feed)
        await anext(events)
        first = await anext(events)
        assert b"same" in first
        while len(looks) < 20:
            await feed.changed.wait()
        late = await anext(events)
        assert b"same" not in late
        assert int(late.partition(b"id=state>")[2].partition(b"<")[0]) >= 19, "nothing was kept for it"
        await events.aclose()
        hub.leave(Subject(), feed)

    asyncio.run(play())


def test_nothing_is_drawn_when_the_last_one_has_left() -> None:
    async def play() -> None:
        looks: list[int] = []
        hub = Hub(drawing(looks), 0.001)
        feeds = [(subject, hub.join(subject)) for subject in (Subject(), Subject("a"), Subject())]
        for _, feed in feeds:
            assert feed is not None
            if not feed.version:
                await feed.changed.wait()
        for subject, feed in feeds:
            assert feed is not None
            hub.leave(subject, feed)
        assert set(looks) == {2}, "two pages, three who look"
        rest = [task for task in asyncio.all_tasks() if task.get_name() == "tickglass-page"]
        await asyncio.wait(rest)
        assert all(task.cancelled() for task in rest)

    asyncio.run(play())


def test_a_client_that_takes_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "SEND_MAX_S", 0.01)

    async def play() -> None:
        hub = Hub(drawing([]), 0.001)
        never = asyncio.Event()

        async def send(message: Any) -> None:  # noqa: ANN401
            if message["type"] == "http.response.body":
                await never.wait()

        async def receive() -> Any:  # noqa: ANN401
            await never.wait()

        await EventStream(hub, Subject())({"type": "http", "method": "GET"}, receive, send)
        assert hub.join(Subject("another")) is not None

    asyncio.run(play())
