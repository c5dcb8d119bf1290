"""Run coroutine jobs on one asyncio event loop, in a thread of its own.

`EventLoop` is the thread; `EventLoopExecutor` runs the code of jobs on it, or on the application's loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tickglass.sched.executors.call_ends import CallEnds
from tickglass.sched.executors.job_loop import JobLoop, LoopWork
from tickglass.sched.executors.start_watch import StartWatch
from tickglass.sched.ports import CallResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import JobCall

__all__ = ["EventLoop", "EventLoopExecutor", "LoopCall"]

_log: Final = logging.getLogger(__name__)
_CLOSED: Final = "the event loop was closed before the job had ended"
_END_S: Final = 2.0  # for the thread to end; a coroutine that blocks the loop is left behind, with its thread


class EventLoop(JobLoop):
    """One loop in a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._ending = False

    @property
    def trouble(self) -> str | None:
        """See `JobLoop`."""
        return None if self._thread.is_alive() else "the event loop of the coroutine jobs has ended"

    def start(self) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="tickglass-loop", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the loop; tasks that still run are cancelled, and what does not end by that is lost."""
        self._ending = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed already
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_END_S)
            self.give_up_lost()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            while not self._ending:
                _surviving_exits(loop.run_forever)
            tasks = [work.task for work in list(self._unended) if work.task is not None]
            for task in tasks:
                task.cancel()
            if tasks:  # one iteration for their `finally` blocks; no more
                _surviving_exits(lambda: loop.run_until_complete(asyncio.sleep(0)))
            loop.run_until_complete(loop.shutdown_asyncgens())
        except Exception:  # noqa: BLE001 - reported; `alive` says it too
            _log.exception("the event loop broke down: coroutine jobs do not run any more")
        finally:
            loop.close()


class EventLoopExecutor:
    """Runs coroutines on an event loop, which holds no worker meanwhile.

    Args:
        loop: our own, or the application's.
        work: has a worker call something: the end of a run asks the store, and must not block the loop.
        at: sets a timer: calls at a monotonic instant, or at once when it has passed.
    """

    name: Final = "event_loop"
    immediate: Final = False

    def __init__(
        self,
        loop: JobLoop,
        *,
        work: Callable[[Callable[[], None]], None],
        at: Callable[[int, Callable[[], None]], object],
        clock: Clock,
    ) -> None:
        self._shared = _Shared(loop, StartWatch(at), CallEnds(work=work, at=at, clock=clock), clock)

    def prepare(self, call: JobCall, done: Callable[[CallResult], None]) -> LoopCall:
        """See `Executor`."""
        return LoopCall(self._shared, call, done)

    def continue_with(
        self, returned: Coroutine[Any, Any, Any], call: JobCall, done: Callable[[CallResult], None]
    ) -> LoopCall:
        """Run on what the code of a call has returned elsewhere: its start is reported already."""
        rest = LoopCall(self._shared, call, done, rest=returned)
        self._shared.loop.spawn(rest)
        return rest


class _Shared(NamedTuple):
    """What the calls of an executor have in common."""

    loop: JobLoop
    watch: StartWatch
    ends: CallEnds
    clock: Clock


class LoopCall(LoopWork):
    """One call on the loop. See `PreparedCall`.

    Args:
        done: told the first result; a call that is lost may just have ended.
        rest: what its code has returned elsewhere; None: it begins here.
    """

    __slots__ = ("_call", "_rest", "_shared", "_started", "_unreported")

    def __init__(
        self,
        shared: _Shared,
        call: JobCall,
        done: Callable[[CallResult], None],
        *,
        rest: Coroutine[Any, Any, Any] | None = None,
    ) -> None:
        super().__init__()
        self._shared = shared
        self._call = call
        self._unreported = [done]  # taken out by the first that reports, because no other thread can take it then
        self._rest = rest
        self._started = rest is not None

    def submit(self, start_by_ns: int) -> None:
        """See `PreparedCall`."""
        self._shared.watch.expect(self, start_by_ns, self._call.give_up)
        self._shared.loop.spawn(self)

    def cancel(self) -> None:
        """See `PreparedCall`."""
        self._shared.loop.cancel(self)

    async def run(self) -> None:
        """See `LoopWork`."""
        if not self._started and not self._start():
            return
        returned: object = None
        failure: BaseException | None = None
        with self._call.scope():
            try:
                returned = await (self._call.code() if self._rest is None else self._rest)
                while isinstance(returned, Coroutine):  # of a wrapper that forgot to await it
                    returned = await returned
            except GeneratorExit:  # nothing else ends a coroutine that its loop has not ended
                failure = RuntimeError(_CLOSED)
            except BaseException as error:  # noqa: BLE001 - an outcome, whatever it is: the loop goes on
                failure = error
        self._report(returned, failure)

    def ended(self, task: asyncio.Task[None]) -> None:
        """See `LoopWork`."""
        if task.cancelled():  # by the application, before the first step: afterwards that is a result
            self._shared.ends.add(partial(self._lost, asyncio.CancelledError()))

    def lose(self) -> None:
        """See `LoopWork`."""
        if self._rest is not None and self.task is None:
            self._rest.close()  # it never began here
        self._shared.ends.add(partial(self._lost, RuntimeError(_CLOSED)))

    def _lost(self, why: BaseException) -> None:
        """On a worker: report that the code could not go on, or not begin."""
        if self._started or self._start():
            self._report(None, why)

    def _start(self) -> bool:
        watch, ends = self._shared.watch, self._shared.ends
        watch.started(self)
        self._started = self._call.start()
        if watch.idle:
            ends.hand_over()
        return self._started

    def _report(self, returned: object, failure: BaseException | None) -> None:
        watch, ends, clock = self._shared.watch, self._shared.ends, self._shared.clock
        try:
            done = self._unreported.pop()
        except IndexError:  # it was lost, and has ended all the same
            return
        report = partial(done, CallResult(returned, failure, clock.monotonic_ns()))
        if watch.idle:
            ends.add(report)
        else:
            ends.hold(report)


def _surviving_exits(run: Callable[[], object]) -> None:
    """Run a loop. asyncio re-raises SystemExit and KeyboardInterrupt out of it: keep it for the other tasks."""
    try:
        run()
    except (SystemExit, KeyboardInterrupt):  # the task that raised it has it as its result, and so has its awaiter
        _log.exception("a task wanted to end the process; the event loop goes on")
