"""Watch for deleted lease keys in the cluster, released or expired, and for the claims of other owners.

One stream and one thread serve all callbacks, from the first one on. Each resource has a watch of its own, from the
revision at which its lease was last refused: no release in between is missed, and the releases of other resources are
not received.

The claims of a service have two watches, on the keys before the owner's own and after it. They begin at the present,
also on a new stream: what was claimed in between is not reported, because it may have been abandoned since.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
import msgspec
from aetcd import rpc

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS
from tickglass.sched.stores.etcd.client import WATCH
from tickglass.sched.stores.etcd.keys import LastClaim
from tickglass.sched.stores.watchers import Watchers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.stores.etcd.client import EtcdClient
    from tickglass.sched.stores.etcd.keys import Keys

__all__ = ["EtcdWatch"]

_log: Final = logging.getLogger(__name__)
_RECONNECT_NS: Final = 250 * MS
_REFUSALS_MAX: Final = 10_000


@dataclass(frozen=True, eq=False)
class _Claims:
    """A range of keys in which owners note what they claimed, and the listener."""

    first: bytes
    end: bytes
    on_claim: Callable[[str, int, str], None]

    def create(self, number: int) -> Any:  # noqa: ANN401 - the client is not typed
        """Return the request that begins the watch, under this number."""
        filters = [rpc.WatchCreateRequest.NODELETE]
        request = rpc.WatchCreateRequest(key=self.first, range_end=self.end, filters=filters, watch_id=number)
        return rpc.WatchRequest(create_request=request)


class EtcdWatch:
    """Calls the callbacks that wait for a resource, and those that listen to claims.

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
        self._claims: dict[int, _Claims] = {}
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

    def add_claims(self, service: str, owner: str, on_claim: Callable[[str, int, str], None]) -> Callable[[], None]:
        """Call `on_claim` for each claim of a service by other owners, until the returned function is called."""
        added = [_Claims(*of, on_claim) for of in self._keys.claims_of_others(service, owner)]
        with self._lock:
            if not self._closed:
                for claims in added:
                    self._begin_claims(claims)
                self._start()

        def end() -> None:
            with self._lock:
                for number in [number for number, claims in self._claims.items() if claims in added]:
                    del self._claims[number]
                    self._cancel(number)

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
        self._start()

    def _begin_claims(self, claims: _Claims) -> None:
        number = next(self._numbers)
        self._claims[number] = claims
        self._requests.put(claims.create(number))

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, name="tickglass-etcd-watch", daemon=True)
            self._thread.start()

    def _end(self, resource: str) -> None:
        number, _ = self._from.pop(resource, (0, 0))
        if number:
            del self._resources[number]
            self._incomplete.discard(number)
            self._cancel(number)

    def _cancel(self, number: int) -> None:
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

    def _create_all(self, *, again: bool) -> None:
        """Ask a new stream for all watches; `again`: there was one before."""
        for resource, (number, revision) in self._from.items():
            if again and not revision:
                self._incomplete.add(number)
            self._requests.put(self._create(resource))
        for number, claims in self._claims.items():
            self._requests.put(claims.create(number))

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
                    self._create_all(again=again > 0)
                    metadata = (*self._client.metadata, ("hasleader", "true"))
                    stream = self._stream = connection.methods[WATCH](iter(self._requests.get, None), metadata=metadata)
                for answer in stream:
                    self._handle(answer)
                    if answer.cancel_reason and not answer.compact_revision:
                        stream.cancel()  # refused, for example for an old token; the next stream has the present one
            except (grpc.RpcError, ValueError):  # ValueError: the channel is closed
                self._client.leave(connection)
            except Exception:  # noqa: BLE001 - the thread's outer edge
                _log.exception("the watch for freed resources and claims failed; it is replaced")
                if self._stream is not None:
                    self._stream.cancel()
            self._real.wait(self._real.monotonic_ns() + _RECONNECT_NS, self._stop)

    def _handle(self, answer: Any) -> None:  # noqa: ANN401
        with self._lock:
            claims = self._claims.get(answer.watch_id)
            if claims is not None and answer.compact_revision:  # it fell behind: go on from now
                del self._claims[answer.watch_id]
                self._begin_claims(claims)
            resource = self._resources.get(answer.watch_id)
            freed = resource is not None and self._may_be_freed(resource, answer)
        if claims is not None:
            self._report(claims, answer.events)
        elif resource is not None and freed:
            self._watchers.freed(resource)

    def _report(self, claims: _Claims, events: Sequence[Any]) -> None:
        for event in events:
            try:
                claim = msgspec.json.decode(event.kv.value, type=LastClaim)
            except msgspec.DecodeError:  # not ours, under our prefix
                continue
            claims.on_claim(claim.job, claim.due_ns, self._keys.parts(event.kv.key)[2])

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
