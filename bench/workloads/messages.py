"""Count the messages that a scheduler alone on a Redis server hears: each was published by itself."""

from __future__ import annotations

import asyncio
import threading
from typing import Final

from workloads.cell import Cell, Place, Result
from workloads.firing import add_jobs, new_scheduler
from workloads.meter import pause

__all__ = ["measure"]

WARM_UP_S: Final = 1.0
MESSAGE: Final = b"message\r\n"  # the end of the first part of "message", "pmessage" and "smessage", in RESP 2 and 3


class CountingProxy:
    """Passes bytes on between clients and a server, and counts the messages among what the server sends.

    Args:
        server_port: where the server listens, on this machine.
    """

    def __init__(self, server_port: int) -> None:
        self.messages = 0
        self.port = 0
        self._server_port = server_port
        self._listening = threading.Event()

    def start(self) -> None:
        """Listen at a free port; `port` is known when this returns."""
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self._listening.wait()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await server.serve_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        await asyncio.gather(_passed_on(reader, to_server), self._counted(from_server, writer))

    async def _counted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rest = b""
        while data := await reader.read(65_536):
            seen = rest + data
            self.messages += seen.count(MESSAGE)
            rest = seen[-(len(MESSAGE) - 1) :]  # too short to be counted twice
            writer.write(data)
            await writer.drain()
        writer.close()


async def _passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


def measure(cell: Cell, place: Place) -> Result:
    """Run jobs through the proxy for the window, and count the messages of that time."""
    proxy = CountingProxy(place.redis_port)
    proxy.start()
    begun: list[int] = []
    scheduler = new_scheduler(cell, Place(place.home, proxy.port))
    add_jobs(cell, scheduler, lambda _job, _due_at, at_ns: begun.append(at_ns))
    scheduler.start()
    pause(WARM_UP_S)
    runs, messages = len(begun), proxy.messages
    pause(cell.window_s)
    runs, messages = len(begun) - runs, proxy.messages - messages
    return Result({"messages": float(messages), "runs": float(runs), "messages_per_run": messages / runs})
