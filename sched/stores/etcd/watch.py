"""Hear from the cluster when a lease key is deleted: released, or expired.

One stream and one thread for all resources that anybody waits for, from the first wait on. What is watched is each
resource by itself, from the revision at which its lease was last refused: nothing in between is missed, and the
releases of all others in the fleet are not heard.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from typing import TYPE_CHECKING, Any, Final

import grpc
from aetcd import rpc

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS
from tickglass.sched.stores.etcd.client import WATCH
from tickglass.sched.stores.watchers import Watchers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.stores.etcd.client import EtcdClient
    from tickglass.sched.stores.etcd.keys import Keys

__all__ = ["LeaseWatch"]

_log: Final = logging.getLogger(__name__)
_RECONNECT_NS: Final = 250 * MS
_REFUSALS_MAX: Final = 10_000


class LeaseWatch:
    """Tells those who wait.

    Args:
        wire: whose line the stream goes over.
    """

    def __init__(self, wire: EtcdClient, keys: Keys) -> None:
        self._wire = wire
        self._keys = keys
        self._watchers = Watchers()
        self._real = SystemClock()
        self._stop = Wake()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._refused_at: dict[str, int] = {}
        self._from: dict[str, tuple[int, int]] = {}  # resource -> the number of its watch, and where it began
        self._resources: dict[int, str] = {}
        self._blind: set[int] = set()  # the numbers of watches that may have missed something before they begin
        self._asks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stream: Any = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def refused(self, resource: str, revision: int) -> None:
        """Note that the resource was not free then."""
        if len(self._refused_at) >= _REFUSALS_MAX:
            self._refused_at.clear()  # who watches without this is told of what happens from now on
        self._refused_at[resource] = revision

    def freed(self, resource: str) -> None:
        """Tell those who wait here of what this store has done, without waiting for the cluster to say so."""
        self._watchers.freed(resource)

    def add(self, resource: str, call: Callable[[], None]) -> Callable[[], None]:
        """Call when the resource is freed, until the function that is returned has been called."""
        remove = self._watchers.add(resource, call)
        with self._lock:
            if not self._closed:
                self._begin(resource)

        def end() -> None:
            remove()
            with self._lock:
                if not self._watchers.watched(resource):
                    self._end(resource)

        return end

    def close(self) -> None:
        """End the stream and its thread; a second call does nothing."""
        with self._lock:
            self._closed = True
            stream, thread = self._stream, self._thread
        self._stop.ring()
        self._asks.put(None)
        if stream is not None:
            stream.cancel()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    # --- with the lock in hand

    def _begin(self, resource: str) -> None:
        revision = self._refused_at.pop(resource, 0)
        if resource not in self._from:
            number = next(self._numbers)
            self._from[resource] = (number, revision and revision + 1)
            self._resources[number] = resource
            self._asks.put(self._create(resource))
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, name="tickglass-etcd-watch", daemon=True)
            self._thread.start()

    def _end(self, resource: str) -> None:
        number, _ = self._from.pop(resource, (0, 0))
        if number:
            del self._resources[number]
            self._blind.discard(number)
            self._asks.put(rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=number)))

    def _create(self, resource: str) -> Any:  # noqa: ANN401 - the client is not typed
        number, revision = self._from[resource]
        return rpc.WatchRequest(
            create_request=rpc.WatchCreateRequest(
                key=self._keys.lease(resource),
                start_revision=revision,
                filters=[rpc.WatchCreateRequest.NOPUT],
                watch_id=number,
            )
        )

    # --- on the thread

    def _listen(self) -> None:
        for again in itertools.count():
            line = self._wire.line()
            try:
                with self._lock:
                    if self._closed:
                        return
                    self._asks.put(None)  # ends the asking of the last stream
                    self._asks = queue.SimpleQueue()
                    for resource, (number, revision) in self._from.items():
                        if again and not revision:
                            self._blind.add(number)
                        self._asks.put(self._create(resource))
                    metadata = (*self._wire.metadata, ("hasleader", "true"))
                    stream = self._stream = line.methods[WATCH](iter(self._asks.get, None), metadata=metadata)
                for answer in stream:
                    self._hear(answer)
                    if answer.cancel_reason and not answer.compact_revision:
                        stream.cancel()  # refused, for an old token say; the next stream has the one of that time
            except (grpc.RpcError, ValueError):  # ValueError: the channel is closed
                self._wire.leave(line)
            except Exception:  # noqa: BLE001 - the thread's outer edge
                _log.exception("hearing of freed resources failed, and begins anew")
                if self._stream is not None:
                    self._stream.cancel()
            self._real.wait(self._real.monotonic_ns() + _RECONNECT_NS, self._stop)

    def _hear(self, answer: Any) -> None:  # noqa: ANN401
        with self._lock:
            resource = self._resources.get(answer.watch_id)
            if resource is None or not self._tells(resource, answer):
                return
        self._watchers.freed(resource)

    def _tells(self, resource: str, answer: Any) -> bool:  # noqa: ANN401
        """Note how far a watch has come; return whether it may have been freed."""
        number, revision = self._from[resource]
        if answer.compact_revision:  # what it asked for was compacted away: go on from now, and tell when that begins
            del self._resources[number]
            number = next(self._numbers)
            self._from[resource], self._resources[number] = (number, 0), resource
            self._blind.add(number)
            self._asks.put(self._create(resource))
            return False
        if answer.cancel_reason:
            return False
        blind = number in self._blind
        self._blind.discard(number)
        if answer.events or not revision:
            self._from[resource] = (number, answer.header.revision + 1)
        return bool(answer.events) or blind
