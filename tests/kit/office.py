"""A sidecar that lets operators act on a real SQLite store, which knows a few jobs and instances."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.clock import SystemClock
from tickglass.sched.control.operator import Operator
from tickglass.sched.durations import SECOND
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, Claimed, InstanceRecord, InstanceState, JobRecord, LeaseAsk, Settlement
from tickglass.sched.stores import open_store
from tickglass.sched.triggers import every
from tickglass.telemetry.endpoint.operators import Operators
from tickglass.telemetry.sidecar.merge.merge import view_of
from tickglass.telemetry.sidecar.stores.probe import probe_once
from tickglass.telemetry.sidecar.web import Desks, SidecarServer, sidecar_app

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tickglass.sched.ports import Store
    from tickglass.telemetry.sidecar.view import View

__all__ = ["OPERATORS", "OP_TOKEN", "Office", "open_office"]

OP_TOKEN: Final = "op-s3cret"
OPERATORS: Final = Operators(
    token=OP_TOKEN, header="X-Forwarded-User", proxies=("127.0.0.1",), names=frozenset({"anna"})
)
JOBS: Final = (("billing", "nightly"), ("billing", "sync"), ("mail", "sync"))
MINUTE: Final = 60 * SECOND


class Office:
    """A store with the jobs nightly and sync of billing and sync of mail, and billing's instance host-1."""

    def __init__(self, store: Store, name: str, jobs: Sequence[tuple[str, str]]) -> None:
        self.store = store
        self.name = name
        self.clock = SystemClock()
        self.operator = Operator(store, "carl")
        store.register([self._record(*job) for job in jobs])
        self.start("billing", "host-1", "nightly", "sync")

    def start(self, service: str, owner: str, *jobs: str) -> None:
        """Have an instance join."""
        who = InstanceRecord(service, owner, f"{service}-{owner}", "1.0", "+".join(jobs), InstanceState.RUNNING)
        self.store.join(who, jobs)

    def claim(self, due_ns: int, run_id: str, job: str = "nightly", *, ttl_ns: int = 10 * MINUTE) -> int:
        """Have host-1 begin a run; return its fence."""
        lease = LeaseAsk(f"billing/{job}", "host-1", "billing", f"token-{run_id}", ttl_ns, job=job, run_id=run_id)
        claimed = self.store.claim(ClaimAsk(lease, due_ns=due_ns))
        assert isinstance(claimed, Claimed)
        return claimed.fence

    def settle(self, due_ns: int, run_id: str, fence: int, *, job: str = "nightly", detail: str = "") -> None:
        """Have host-1 end it."""
        lease = Lease(f"billing/{job}", "host-1", f"token-{run_id}", fence, 600 * SECOND, 0)
        outcome = "failure" if detail else "success"
        settled = self.store.settle(Settlement(lease, "billing", job, due_ns, run_id, outcome, detail))
        assert settled.recorded

    def view(self) -> View:
        """Return what a sidecar sees just now."""
        return view_of([], [probe_once(self.name, self.store, self.clock)], self.clock.reading())

    @property
    def stands(self) -> list[str]:
        return [type(order).__name__ for order in self.operator.standing()]

    def _record(self, service: str, name: str) -> JobRecord:
        trigger = str(every("15m").bind(name))
        return JobRecord(name, trigger, f"{service}/{name}", "host-1", service, MINUTE, SECOND, None, None)


@contextmanager
def open_office(home: Path, jobs: Sequence[tuple[str, str]] = JOBS, **options: Any) -> Iterator[tuple[Office, str]]:  # noqa: ANN401 - of `sidecar_app`
    """Return an office, and the address of its sidecar."""
    with ExitStack() as running:
        url = f"sqlite:///{home / 'jobs.db'}"
        store = open_store(url, SystemClock())
        running.callback(store.close)
        office = Office(store, url, jobs)
        chosen: dict[str, Any] = {"operators": OPERATORS, "desks": Desks({url: lambda: store})} | options
        app = sidecar_app(office.view, lambda _: ("text/plain", b""), list, **chosen)
        server = SidecarServer("127.0.0.1:0", app)
        server.start()
        running.callback(server.stop)
        yield office, f"http://localhost:{server.port}"
