"""Watch for deleted lease keys in the cluster: released, or expired.

One stream and one thread serve all resources that callbacks wait for, from the first wait on. Each resource has a watch
of its own, from the revision at which its lease was last refused: no release in between is missed, and the releases
of other resources are not received.
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
    """Calls the callbacks that wait for a resource.

    Args:
        client: the stream uses its connection.
    """

    def __init__(self, client: EtcdClient, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._watchers = Watchers()
        self._real = SystemClock()
        self._stop = Wake()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._refused_at: dict[str, int] = {}
        self._from: dict[str, tuple[int, int]] = {}  # resource -> the number of its watch, and its start revision
        self._resources: dict[int, str] = {}
        self._incomplete: set[int] = set()  # the numbers of watches that may have missed something before they begin
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stream: Any = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def refused(self, resource: str, revision: int) -> None:
        """Note that the resource was not free at this revision."""
        if len(self._refused_at) >= _REFUSALS_MAX:
            self._refused_at.clear()  # watches without it start from now on
        self._refused_at[resource] = revision

    def freed(self, resource: str) -> None:
        """Call the callbacks for a release by this store, without waiting for the cluster's message."""
        self._watchers.freed(resource)

    def add(self, resource: str, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` when the resource is freed, until the returned function is called."""
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
        self._requests.put(None)
        if stream is not None:
            stream.cancel()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    # --- with the lock held

    def _begin(self, resource: str) -> None:
        revision = self._refused_at.pop(resource, 0)
        if resource not in self._from:
            number = next(self._numbers)
            self._from[resource] = (number, revision and revision + 1)
            self._resources[number] = resource
            self._requests.put(self._create(resource))
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, name="tickglass-etcd-watch", daemon=True)
            self._thread.start()

    def _end(self, resource: str) -> None:
        number, _ = self._from.pop(resource, (0, 0))
        if number:
            del self._resources[number]
            self._incomplete.discard(number)
            self._requests.put(rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=number)))

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
            connection = self._client.connection()
            try:
                with self._lock:
                    if self._closed:
                        return
                    self._requests.put(None)  # ends the requests of the last stream
                    self._requests = queue.SimpleQueue()
                    for resource, (number, revision) in self._from.items():
                        if again and not revision:
                            self._incomplete.add(number)
                        self._requests.put(self._create(resource))
                    metadata = (*self._client.metadata, ("hasleader", "true"))
                    stream = self._stream = connection.methods[WATCH](iter(self._requests.get, None), metadata=metadata)
                for answer in stream:
                    self._handle(answer)
                    if answer.cancel_reason and not answer.compact_revision:
                        stream.cancel()  # refused, for example for an old token; the next stream has the present one
            except (grpc.RpcError, ValueError):  # ValueError: the channel is closed
                self._client.leave(connection)
            except Exception:  # noqa: BLE001 - the thread's outer edge
                _log.exception("the watch for freed resources failed; it is replaced")
                if self._stream is not None:
                    self._stream.cancel()
            self._real.wait(self._real.monotonic_ns() + _RECONNECT_NS, self._stop)

    def _handle(self, answer: Any) -> None:  # noqa: ANN401
        with self._lock:
            resource = self._resources.get(answer.watch_id)
            if resource is None or not self._may_be_freed(resource, answer):
                return
        self._watchers.freed(resource)

    def _may_be_freed(self, resource: str, answer: Any) -> bool:  # noqa: ANN401
        """Note the progress of a watch; return whether the resource may have been freed."""
        number, revision = self._from[resource]
        if (
            answer.compact_revision
        ):  # its start revision was compacted away: go on from now, and wake the waiters when that begins
            del self._resources[number]
            number = next(self._numbers)
            self._from[resource], self._resources[number] = (number, 0), resource
            self._incomplete.add(number)
            self._requests.put(self._create(resource))
            return False
        if answer.cancel_reason:
            return False
        incomplete = number in self._incomplete
        self._incomplete.discard(number)
        if answer.events or not revision:
            self._from[resource] = (number, answer.header.revision + 1)
        return bool(answer.events) or incomplete
