"""Send requests to an etcd cluster: one deadline per operation, the next endpoint when one fails, errors of ours.

The messages are aetcd's; they are sent over grpcio's own channels, which many threads may use at once and which
keep deadlines. aetcd's asyncio client would need an event loop in a thread of its own, without a gain: both manage
about 1,050 writes/s alone and 3,200/s eight at a time against one server.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
from aetcd import rpc

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND, duration_text
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.stores.etcd.layout import MIGRATING, OURS
from tickglass.sched.stores.etcd.migration import Migration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tickglass.sched.stores.etcd.layout import Layout
    from tickglass.sched.stores.etcd.settings import Endpoint

__all__ = [
    "GRANT",
    "KEEP_ALIVE",
    "RANGE",
    "REVOKE",
    "TIME_TO_LIVE",
    "TXN",
    "WATCH",
    "Call",
    "EtcdClient",
    "LeaseNotFound",
]

WATCH: Final = "/etcdserverpb.Watch/Watch"
RANGE: Final = "/etcdserverpb.KV/Range"
TXN: Final = "/etcdserverpb.KV/Txn"
GRANT: Final = "/etcdserverpb.Lease/LeaseGrant"
REVOKE: Final = "/etcdserverpb.Lease/LeaseRevoke"
# A stream by its definition; here each stream has one message each way, and needs no thread to feed it.
KEEP_ALIVE: Final = "/etcdserverpb.Lease/LeaseKeepAlive"
TIME_TO_LIVE: Final = "/etcdserverpb.Lease/LeaseTimeToLive"
AUTH: Final = "/etcdserverpb.Auth/Authenticate"
_MESSAGES: Final = {
    RANGE: (rpc.RangeRequest, rpc.RangeResponse),
    TXN: (rpc.TxnRequest, rpc.TxnResponse),
    GRANT: (rpc.LeaseGrantRequest, rpc.LeaseGrantResponse),
    REVOKE: (rpc.LeaseRevokeRequest, rpc.LeaseRevokeResponse),
    KEEP_ALIVE: (rpc.LeaseKeepAliveRequest, rpc.LeaseKeepAliveResponse),
    TIME_TO_LIVE: (rpc.LeaseTimeToLiveRequest, rpc.LeaseTimeToLiveResponse),
    AUTH: (rpc.AuthenticateRequest, rpc.AuthenticateResponse),
}
_CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 10_000),  # etcd closes the connection of a client that pings more often than every 5 s
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.use_local_subchannel_pool", 1),  # each store has connections of its own
)
_FULL: Final = "database space exceeded"  # until the cluster has been compacted: waiting helps
_LOST: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


class _Connection(NamedTuple):
    """A connection to one endpoint, and the methods that can be called over it."""

    endpoint: Endpoint
    channel: Any
    methods: dict[str, Any]


class LeaseNotFound(Exception):  # noqa: N818 - says what happened
    """Internal: a key was to be attached to a lease that has ended."""


class EtcdClient:
    """Connections to the members of one cluster, made when they are first used.

    Args:
        layout: what every transaction is guarded by.
        user: "" when the cluster needs no login.
        timeout_ns: how long one operation may take, with all its round trips.
    """

    def __init__(
        self, endpoints: Sequence[Endpoint], layout: Layout, *, user: str, password: str, timeout_ns: int
    ) -> None:
        self.timeout_ns = timeout_ns
        self.layout = layout
        self._real = SystemClock()  # the network takes real time, whatever clock the scheduler uses
        self._user = user
        self._password = password
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._connections = [_connect(endpoint) for endpoint in endpoints]
        self._current = 0  # the index of the connection in use
        self._closed = False
        self.metadata: tuple[tuple[str, str], ...] = ()

    @contextmanager
    def call(self, operation: str) -> Iterator[Call]:
        """Begin an operation; its failures become `StoreUnavailable`."""
        self.check(operation)
        try:
            yield Call(self, operation, self.deadline_ns())
        except (
            ValueError,
            IndexError,
            OverflowError,
            LeaseNotFound,
        ) as error:  # a key under the prefix, or a request, is not valid
            raise StoreUnavailable("etcd", operation, str(error), kind="error") from error

    def check(self, operation: str) -> None:
        """Refuse to work once closed, or in a forked process.

        Raises:
            StoreUnavailable: it is closed, or was opened before a fork.
        """
        if self._closed:
            raise StoreUnavailable("etcd", operation, "the store is closed", kind="error")
        if os.getpid() != self._pid:
            problem = "the store was opened before this process was forked; open one in each process"
            raise StoreUnavailable("etcd", operation, problem, kind="error")

    def deadline_ns(self) -> int:
        """Return the deadline of an operation that begins now."""
        return self._real.monotonic_ns() + self.timeout_ns

    def left_s(self, deadline_ns: int) -> float:
        """Return the seconds left until then; always more than 0, so that gRPC reports which call is late."""
        return max(deadline_ns - self._real.monotonic_ns(), 1) / SECOND

    def connection(self) -> _Connection:
        """Return the connection in use."""
        return self._connections[self._current]

    def leave(self, connection: _Connection) -> None:
        """Use the next member from now on, unless another thread has changed it already."""
        with self._lock:
            if self._connections[self._current] is connection:
                self._current = (self._current + 1) % len(self._connections)

    @property
    def members(self) -> int:
        """How many endpoints there are."""
        return len(self._connections)

    def log_in(self, connection: _Connection, timeout_s: float) -> None:
        """Get a token for the user and the password, if there are any.

        Raises:
            grpc.RpcError: they are wrong, or the member did not answer.
        """
        if self._user:
            answer = connection.methods[AUTH](
                rpc.AuthenticateRequest(name=self._user, password=self._password), timeout_s
            )
            self.metadata = (("token", answer.token),)

    @property
    def logged_in(self) -> bool:
        """Whether there is a token, or none is needed."""
        return bool(self.metadata) or not self._user

    def tell(self, questions: Sequence[tuple[str, object]], patience_ns: int) -> None:
        """Send requests whose failure does not matter; wait so long for the answers, because a close cancels them."""
        if self._closed or os.getpid() != self._pid:
            return
        deadline_ns = self._real.monotonic_ns() + patience_ns
        methods, timeout_s = self.connection().methods, patience_ns / SECOND
        for answer in [methods[method].future(request, timeout_s, self.metadata) for method, request in questions]:
            with suppress(grpc.RpcError, grpc.FutureTimeoutError, grpc.FutureCancelledError):
                answer.result(self.left_s(deadline_ns))

    def close(self) -> None:
        """Close all connections; a second call does nothing."""
        self._closed = True
        for connection in self._connections:
            connection.channel.close()


class Call:
    """One operation under way.

    Args:
        operation: the port's method, for errors.
        deadline_ns: monotonic, of the real clock.
    """

    __slots__ = ("_client", "_deadline_ns", "_operation", "repeated")

    def __init__(self, client: EtcdClient, operation: str, deadline_ns: int) -> None:
        self.repeated = False  # whether a request was repeated that may have been carried out
        self._client = client
        self._operation = operation
        self._deadline_ns = deadline_ns

    @property
    def left_s(self) -> float:
        """How many seconds the operation may still take."""
        return self._client.left_s(self._deadline_ns)

    def ask(self, method: str, request: object, *, again: bool = True) -> Any:  # noqa: ANN401 - the client is not typed
        """Send one request: see `ask_all`."""
        return self.ask_all((method, request), again=again)[0]

    def ask_all(self, *questions: tuple[str, object], again: bool = True) -> list[Any]:
        """Send all requests at once to one member, and return the answers in order: one round trip.

        A transaction that finds keys of another layout does nothing; older keys are migrated, and it is sent again.

        Args:
            again: whether they may be repeated to the next member if this one fails after it has carried them out.

        Raises:
            LeaseNotFound: a key was to be attached to a lease that has ended.
            StoreUnavailable: no member answered in time, a request is wrong, or the keys are a newer version's.
        """
        layout = self._client.layout
        for method, request in questions:
            if method == TXN:
                layout.guard(request)
        answers = self._ask_members(questions, again=again)
        if self._layout_found(questions, answers) == OURS:
            return answers
        self._make_current()
        answers = self._ask_members(questions, again=again)
        found = self._layout_found(questions, answers)
        if found != OURS:
            raise self._refused(found)
        return answers

    def read(self, asked: object) -> Any:  # noqa: ANN401
        """Read a range for an observer, in one round trip; keys of another layout are refused, and not changed.

        Raises:
            StoreUnavailable: see `ask_all`.
        """
        layout = self._client.layout
        (answer,) = self._ask_members(((TXN, layout.read_request(asked)),), again=True)
        found, version = layout.read_answer(answer)
        if version != OURS:
            raise self._refused(version)
        return found, answer.header.revision

    def holds(self, compare: object) -> bool:
        """Whether a comparison holds, and the keys are of our layout; one round trip that changes nothing.

        Raises:
            StoreUnavailable: see `ask_all`.
        """
        asked = rpc.TxnRequest(compare=[compare])
        self._client.layout.guard(asked)
        (answer,) = self._ask_members(((TXN, asked),), again=True)
        return bool(answer.succeeded)

    def _layout_found(self, questions: Sequence[tuple[str, object]], answers: Sequence[Any]) -> str:
        """Return the layout that the transactions found: OURS, or another one."""
        layout = self._client.layout
        found = (layout.found(answer) for (method, _), answer in zip(questions, answers, strict=True) if method == TXN)
        return next((it for it in found if it != OURS), OURS)

    def _make_current(self) -> None:
        """Bring the keys to our layout; it takes as long as it takes, each request within the time-out."""

        def ask(transaction: object) -> Any:  # noqa: ANN401
            self.begin_page()
            return self._ask_members(((TXN, transaction),), again=True)[0]

        found = Migration(self._client.layout, ask).run()
        self.begin_page()
        if found != OURS:
            raise self._refused(found)

    def _refused(self, layout: str) -> StoreUnavailable:
        kind = "unavailable" if layout == MIGRATING else "error"
        return StoreUnavailable("etcd", self._operation, self._client.layout.problem(layout), kind=kind)

    def _ask_members(self, questions: tuple[tuple[str, object], ...], *, again: bool) -> list[Any]:
        renewed_token = False
        for _ in range(self._client.members + 1):
            connection = self._client.connection()
            try:
                return self._ask(connection, questions)
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    raise LeaseNotFound from error
                if _is_old_token(error) and not renewed_token:
                    renewed_token, self._client.metadata = True, ()
                    continue
                problem = self._problem(connection, error)
                if error.code() not in _LOST:
                    raise problem from error
                self._client.leave(connection)
                if not again or error.code() is not grpc.StatusCode.UNAVAILABLE or self._client.members == 1:
                    raise problem from error
                self.repeated, failed, cause = True, problem, error
        raise failed from cause

    def begin_page(self) -> None:
        """Start the deadline again: an observer may need many requests."""
        self._deadline_ns = self._client.deadline_ns()

    def give_up(self, detail: str) -> StoreUnavailable:
        """Return the error for an operation that failed."""
        return StoreUnavailable("etcd", self._operation, detail, kind="error")

    def _ask(self, connection: _Connection, questions: tuple[tuple[str, object], ...]) -> list[Any]:
        client = self._client
        try:
            if not client.logged_in:
                client.log_in(connection, client.left_s(self._deadline_ns))
            left_s = client.left_s(self._deadline_ns)
            (method, request), *others = questions
            sent = [connection.methods[method].future(request, left_s, client.metadata) for method, request in others]
            # The first one in this thread: that costs half as much as a future.
            first = connection.methods[method](request, left_s, client.metadata)
            return [first, *(answer.result() for answer in sent)]
        except ValueError as error:  # gRPC's error for a channel that another thread has just closed
            client.check(self._operation)
            raise self.give_up(str(error)) from error

    def _problem(self, connection: _Connection, error: grpc.RpcError) -> StoreUnavailable:
        where = connection.endpoint
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            detail = f"{where} gave no answer within {duration_text(self._client.timeout_ns)}"
        else:
            detail = f"{where}: {error.details()}"
        kind = "unavailable" if error.code() in _LOST or _FULL in str(error.details()) else "error"
        return StoreUnavailable("etcd", self._operation, detail, kind=kind)


def _connect(endpoint: Endpoint) -> _Connection:
    channel = grpc.insecure_channel(f"dns:///{endpoint}", _CHANNEL_OPTIONS)
    methods = {
        method: channel.unary_unary(method, asked.SerializeToString, answered.FromString)
        for method, (asked, answered) in _MESSAGES.items()
    }
    methods[WATCH] = channel.stream_stream(WATCH, rpc.WatchRequest.SerializeToString, rpc.WatchResponse.FromString)
    return _Connection(endpoint, channel, methods)


def _is_old_token(error: grpc.RpcError) -> bool:
    return error.code() is grpc.StatusCode.UNAUTHENTICATED and "invalid auth token" in str(error.details())
