"""Stop a scheduler that a signal ends, and say what the stop waits for, how long, and what one more signal does.

A person who pressed Ctrl-C looks at the terminal, also where no log is configured, so that is a warning. A platform
that sends SIGTERM expects the wait: there it is information.
"""

from __future__ import annotations

import logging
from signal import Signals
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.lifecycle import STOP_GRACE_NS

if TYPE_CHECKING:
    from tickglass.sched.engine.engine import Engine
    from tickglass.signals import StopSignals
    from tickglass.stopping import Stopping

__all__ = ["stop_hearing", "tell_interrupted"]

QUICK_NS: Final = 200 * MS  # most stops have ended by then, and there is nothing to tell
NAMES_MAX: Final = 5

_log: Final = logging.getLogger("tickglass")


def stop_hearing(
    signals: StopSignals, stopping: Stopping, engine: Engine, *, by: Signals | None, drain_ns: int
) -> list[str]:
    """Stop; each further signal shortens a wait.

    Args:
        by: the signal that ends it; None: something else does.
        drain_ns: how long runs may go on before they are asked to stop.

    Returns:
        What `Stopping.wait` returns.
    """
    key = "Ctrl-C" if by in (Signals.SIGINT, None) else by.name
    level = logging.WARNING if by is Signals.SIGINT else logging.INFO
    stopping.ask(drain_ns)
    again = signals.wait(QUICK_NS / SECOND)
    if not stopping.ended and again is None and drain_ns > QUICK_NS:
        _log.log(level, "%s", _drains(engine.executions(), drain_ns, key))
        again = signals.wait((drain_ns - QUICK_NS) / SECOND)
    if not stopping.ended:
        if again is not None:
            engine.cut_short()
        _log.log(level, "%s", _is_asked(engine.executions(), key))
    while not stopping.ended and signals.wait() is not None:
        engine.cut_short()
    return stopping.wait()


def tell_interrupted(jobs: list[str], drain_ns: int) -> None:
    """Say what a stop waits for that Ctrl-C began where `Scheduler.run` does not hear it: in a `with` block."""
    if jobs and drain_ns > 0:
        end = f"in {drain_ns / SECOND:g} s they are asked to stop; a second Ctrl-C ends the wait"
        _log.warning("stopping, and waiting for %s; %s", _runs(jobs), end)


def _drains(jobs: list[str], drain_ns: int, key: str) -> str:
    if not jobs:
        return _CLOSING
    end = f"in {drain_ns / SECOND:g} s they are asked to stop; a second {key} asks them now"
    return f"stopping, and waiting for {_runs(jobs)}; {end}"


def _is_asked(jobs: list[str], key: str) -> str:
    if not jobs:
        return _CLOSING
    then = f"one more {key} leaves what has not ended"
    return f"asked to stop: {_runs(jobs)}; waiting {STOP_GRACE_NS / SECOND:g} s at most; {then}"


_CLOSING: Final = "stopping: every run has ended; the store and the telemetry are being closed"


def _runs(jobs: list[str]) -> str:
    """Return how many runs there are, and of which jobs: "2 runs (invoices, labels)"."""
    more = f" and {len(jobs) - NAMES_MAX} more" if len(jobs) > NAMES_MAX else ""
    return f"{len(jobs)} {'run' if len(jobs) == 1 else 'runs'} ({', '.join(jobs[:NAMES_MAX])}{more})"
