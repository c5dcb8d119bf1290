"""Do acts on stores, and read them, on threads that neither the event loop nor the pages wait for."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, TypeVar

from starlette.concurrency import run_in_threadpool

from tickglass.sched.control.orders import fits
from tickglass.sched.errors import ConfigError, StoreUnavailable, TickglassError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tickglass.sched.control.audit import Act
    from tickglass.sched.ports import Store
    from tickglass.telemetry.sidecar.web.access import Actor
    from tickglass.telemetry.sidecar.web.control.asks import AnyAsk

__all__ = ["WAITING_MAX", "Desks", "NotThere"]

# Requests that wait for one store, and for all: a store that hangs leaves threads to others, and to the pages.
WAITING_MAX: Final = 8
WAITING_ALL_MAX: Final = 24

T = TypeVar("T")


class NotThere(TickglassError):  # noqa: N818 - says what happened
    """A store or a job was named that is not there."""

    def __init__(self, problem: str, *, instead: tuple[str, ...] = ()) -> None:
        self.problem = problem
        self.instead = instead
        super().__init__(problem)


class Desks:
    """The stores of a sidecar. All calls come from the event loop.

    Args:
        stores: by name, a function that returns the open store; called on a thread.
        on_act: called after each act that may have changed something; on a thread.
    """

    def __init__(self, stores: Mapping[str, Callable[[], Store]], on_act: Callable[[], object] = lambda: None) -> None:
        self._stores = stores
        self._on_act = on_act
        self._waiting: Counter[str] = Counter()

    @property
    def names(self) -> list[str]:
        """The names of the stores."""
        return list(self._stores)

    def named(self, name: str) -> str:
        """Return the name of the store that is meant: "" is the only one.

        Raises:
            NotThere: there is none of this name.
            ConfigError: there are several, and none was named.
        """
        if name in self._stores:
            return name
        if not self._stores:
            raise NotThere("this sidecar reads no store: it needs --store")
        if name:
            raise NotThere(f"there is no store {name} here", instead=nearest(name, self.names) or tuple(self.names))
        if len(self._stores) > 1:
            raise ConfigError(f"say which store: {' or '.join(self.names)}")
        return self.names[0]

    async def having(self, name: str, job: str, service: str) -> str:
        """Return the name of the store that is meant; where none of several is named, the first that has the job.

        Args:
            job: a name or a pattern; so is `service`, and "" is any.

        Raises:
            NotThere: no store has it.
            StoreUnavailable: one does not answer.
        """
        if name or len(self._stores) < 2:
            return self.named(name)
        for one in self.names:
            jobs = await self.ask(one, lambda store: store.jobs())
            if any(fits(it.name, job) and (not service or fits(it.service, service)) for it in jobs):
                return one
        raise NotThere(f"no store has a job {job}")

    async def ask(self, name: str, question: Callable[[Store], T]) -> T:
        """Return what a question to a store returns.

        Raises:
            NotThere, ConfigError: see `named`.
            StoreUnavailable: it does not answer, or too many requests wait for it already.
        """
        source = self.named(name)
        if self._waiting[source] >= WAITING_MAX or self._waiting.total() >= WAITING_ALL_MAX:
            waiting = f"{self._waiting[source]} requests wait for it already"
            raise StoreUnavailable(source, "ask", f"it is not asked, because {waiting}")
        self._waiting[source] += 1
        try:
            return await run_in_threadpool(lambda: question(self._stores[source]()))
        finally:
            self._waiting[source] -= 1

    async def act(self, ask: AnyAsk, actor: Actor) -> Act:
        """Do an act in an operator's name; the caller has made sure that this is one.

        Raises:
            ConfigError: the ask names another person than the proxy does, or makes no sense otherwise.
            ControlRefused, NotThere, StoreUnavailable: see `Operator` and `ask`.
        """
        if actor.name and ask.by not in ("", actor.name):
            raise ConfigError(f"you act as {actor.name}, not as {ask.by}")

        def done(store: Store) -> Act:
            try:
                return ask.do(store, actor.signature(ask.by.strip()))
            finally:
                self._on_act()

        return await self.ask(ask.store, done)
