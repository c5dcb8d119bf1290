"""Send open pages the regions that changed: rendered once a tick for all pages, and not at all while none is open.

All of this runs on one event loop, except the rendering, which runs on a thread.
A slow client skips versions but never gets a partial one: it is sent the latest of each region
when it can read it, so that it delays no other client and no queue grows.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from starlette.types import Receive, Scope, Send

    from tickglass.telemetry.sidecar.web.selection import Subject

__all__ = ["CLIENTS_MAX", "EventStream", "Hub"]

CLIENTS_MAX: Final = 64
SEND_MAX_S: Final = 20.0  # the connection of a client that reads nothing for so long is closed
RETRY_MS: Final = 2_000
HEADERS: Final = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}

_log: Final = logging.getLogger(__name__)


class _Feed:
    """The latest of each region of one page, and the version in which it changed."""

    def __init__(self) -> None:
        self.listeners = 0
        self.version = 0
        self.stale = False
        self.changed = asyncio.Event()
        self._parts: dict[str, tuple[int, str]] = {}

    def publish(self, parts: Mapping[str, str]) -> None:
        """Take the new regions, and wake the waiting streams."""
        self.version += 1
        self.stale = False
        for name, text in parts.items():
            if self._parts.get(name, (0, ""))[1] != text:
                self._parts[name] = (self.version, text)
        self._wake()

    def publish_failure(self) -> None:
        """Tell the pages that there are no new regions, because rendering failed."""
        self.version += 1
        self.stale = True
        self._wake()

    def since(self, version: int) -> bytes:
        """Return the regions that changed since a version, as an event."""
        if self.stale:
            return b"event: stale\ndata: -\n\n"
        parts = {name: text for name, (changed, text) in self._parts.items() if changed > version}
        return b"event: regions\ndata: %b\n\n" % msgspec.json.encode(parts)

    def _wake(self) -> None:
        rung, self.changed = self.changed, asyncio.Event()
        rung.set()


class Hub:
    """All open pages.

    Args:
        draw: returns the regions of several pages, all of one view; called on a thread.
        every_s: how often.
    """

    def __init__(
        self, draw: Callable[[Sequence[Subject]], Mapping[Subject, Mapping[str, str]]], every_s: float
    ) -> None:
        self._draw = draw
        self._every_s = every_s
        self._feeds: dict[Subject, _Feed] = {}
        self._ticking: asyncio.Task[None] | None = None
        self._closed = False

    def join(self, subject: Subject) -> _Feed | None:
        """Open a page; None if too many are open. Each `join` needs a `leave`."""
        if sum(feed.listeners for feed in self._feeds.values()) >= CLIENTS_MAX:
            return None
        feed = self._feeds.setdefault(subject, _Feed())
        feed.listeners += 1
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._tick(), name="tickglass-page")
        return feed

    def leave(self, subject: Subject, feed: _Feed) -> None:
        """Close a page; nothing is rendered after the last one."""
        feed.listeners -= 1
        if not feed.listeners:
            del self._feeds[subject]
        if not self._feeds and self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    def close(self) -> None:
        """End all streams; on the event loop."""
        self._closed = True
        for feed in self._feeds.values():
            feed.publish({})

    async def events(self, feed: _Feed) -> AsyncGenerator[bytes]:
        """Yield the changes of a page, first all regions, until the hub is closed."""
        yield b"retry: %d\n\n" % RETRY_MS
        seen = 0
        while not self._closed:
            if feed.version == seen:
                await feed.changed.wait()
                continue
            event, seen = feed.since(seen), feed.version
            yield event

    async def _tick(self) -> None:
        failing = False
        while True:
            try:
                drawn = await run_in_threadpool(self._draw, list(self._feeds))
            except Exception:  # noqa: BLE001 - it goes on, and says so to those who look
                if not failing:
                    _log.exception("the page cannot be drawn")
                failing = True
                for feed in self._feeds.values():
                    feed.publish_failure()
            else:
                failing = False
                for subject, parts in drawn.items():
                    if subject in self._feeds:
                        self._feeds[subject].publish(parts)
            await asyncio.sleep(self._every_s)


class EventStream:
    """A streamed answer: server-sent events until the client disconnects."""

    def __init__(self, hub: Hub, subject: Subject) -> None:
        self._hub = hub
        self._subject = subject

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the client disconnects, stops reading, or the hub is closed."""
        if scope["method"] == "HEAD":
            await Response(headers=HEADERS)(scope, receive, send)
            return
        feed = self._hub.join(self._subject)
        if feed is None:
            words = f"{CLIENTS_MAX} pages are open already\n"
            full = PlainTextResponse(words, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "10"})
            await full(scope, receive, send)
            return
        pumping = asyncio.create_task(self._pump(feed, send))
        listening = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait((pumping, listening), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(self._subject, feed)
            pumping.cancel()
            listening.cancel()
            await asyncio.wait((pumping, listening))
        if not pumping.cancelled():
            pumping.result()

    async def _pump(self, feed: _Feed, send: Send) -> None:
        raw = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
        try:
            async with asyncio.timeout(SEND_MAX_S):
                await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": raw})
            async with aclosing(self._hub.events(feed)) as events:
                async for event in events:
                    async with asyncio.timeout(SEND_MAX_S):
                        await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body"})
        except TimeoutError:
            _log.info("a page read nothing for %g s; its connection is closed", SEND_MAX_S)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
