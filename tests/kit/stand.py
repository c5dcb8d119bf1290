"""An engine with all its threads, on a clock that stands still until a test moves it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from kit.rig import BreakableStore, wait_until

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.broadcast import Broadcast
from tickglass.sched.engine.context import EngineContext, NoTracer
from tickglass.sched.engine.engine import Engine
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import OccurrenceMoved, SchedulerMoved, StoreCalled, TimelineTicked
from tickglass.sched.job import declare
from tickglass.sched.lifecycle import SchedulerState
from tickglass.testing import FakeClock, ListSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.timing.clock_skew import SkewGuard
    from tickglass.sched.triggers import Trigger

WRITES: Final = ("acquire", "beat", "claim", "join", "register", "settle")


class Stand:
    """An engine on a clock that stands still, with all its threads."""

    def __init__(
        self,
        skew: SkewGuard | None = None,
        *,
        clock: FakeClock | None = None,
        begins: SchedulerState = SchedulerState.NEW,
    ) -> None:
        self.clock, self.sink = clock or FakeClock(), ListSink()
        self.store = BreakableStore(self.clock)
        context = EngineContext(
            self.clock, self.store, Broadcast({"list": self.sink}, self.clock), NoTracer(), "a", "svc"
        )
        self.engine = Engine(context, workers=2, skew=skew, begins=begins)

    def add(self, function: Callable[..., Any], trigger: Trigger, **policies: Any) -> None:  # noqa: ANN401 - see `declare`
        self.engine.add(declare(function, trigger, service="svc", **policies))

    def moved(self, event: str, *, job: str = "job", outcome: str | None = None, reason: str = "") -> OccurrenceMoved:
        """Wait for such a move: where time moves on faster than a job runs, others of it are skipped."""
        found = self.sink.wait_for(
            lambda told: (
                isinstance(told, OccurrenceMoved)
                and (told.job, told.event) == (job, event)
                and outcome in (None, told.outcome)
                and reason in ("", told.reason)
            )
        )
        assert isinstance(found, OccurrenceMoved)
        return found

    def wait_for_more(self, kind: type[StoreCalled | TimelineTicked]) -> None:
        """Wait for one more of these events."""
        self.sink.wait_for(lambda event: isinstance(event, kind), count=len(self.sink.of(kind)) + 1)

    def advance_until(self, true: Callable[[], bool], by_ns: int = SECOND) -> None:
        """Move time on until it is: whoever waits may not have begun to."""

        def moved_on() -> bool:
            done = true()
            if not done:
                self.clock.advance(by_ns)
            return done

        wait_until(moved_on)

    def away(self) -> None:
        """Have the store answer nothing."""
        for operation in (*WRITES, "release", "renew", "time", "orphans", "runs"):
            self.store.broken[operation] = StoreUnavailable("memory", operation, "gone fishing")

    def run_until_started(self, job: str = "job") -> None:
        self.advance_until(lambda: any(m.event == "started" and m.job == job for m in self.sink.of(OccurrenceMoved)))

    def stop(self, drain_ns: int) -> list[str]:
        """Stop while time goes on."""
        with ThreadPoolExecutor(1) as aside:
            stopping = aside.submit(self.engine.stop, drain_ns)
            self.advance_until(stopping.done)
            return stopping.result()

    @property
    def states(self) -> list[str]:
        return [move.after for move in self.sink.of(SchedulerMoved)]
