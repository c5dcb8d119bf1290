"""Runs of commands for tests: by a real scheduler, with what they log and how they end."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tickglass import Scheduler, at
from tickglass.command import command_job
from tickglass.events import OccurrenceMoved
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["JobLog", "Started", "is_alive", "run_command", "started_command"]

PATIENCE_S: Final = 30.0  # the machine may be busy
_CLOCK: Final = SystemClock()


class JobLog(logging.Handler):
    """Keeps what commands wrote to the log, and lets a test wait for a line."""

    def __init__(self) -> None:
        super().__init__()
        self._arrived = threading.Condition()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        with self._arrived:
            self.records.append(record)
            self._arrived.notify_all()

    def lines(self, stream: str = "stdout") -> list[str]:
        return [record.getMessage() for record in self.records if getattr(record, "stream", "") == stream]

    def wait_for(self, wanted: Callable[[str], bool]) -> str:
        """Block until a line fits; return it."""
        found: list[str] = []

        def arrived() -> bool:
            found[:] = filter(wanted, (record.getMessage() for record in self.records))
            return bool(found)

        with self._arrived:
            assert self._arrived.wait_for(arrived, PATIENCE_S), self.lines()
        return found[0]


class Started(NamedTuple):
    scheduler: Scheduler
    log: JobLog
    sink: ListSink

    def ended(self) -> OccurrenceMoved:
        """Wait for the end of the run; return its event."""
        found = self.sink.wait_for(
            lambda event: isinstance(event, OccurrenceMoved) and event.after == "ended", patience_s=PATIENCE_S
        )
        assert isinstance(found, OccurrenceMoved)
        return found


@contextmanager
def started_command(command: str | Sequence[str], *, store: str = "memory://", **policies: Any) -> Iterator[Started]:  # noqa: ANN401 - see `declare`
    """Run the command once, at once."""
    sink, log, logger = ListSink(), JobLog(), logging.getLogger("tickglass.jobs")
    scheduler = Scheduler(store, service="ops", sinks={"told": sink})
    soon = datetime.fromtimestamp(_CLOCK.wall_ns() / SECOND, UTC) + timedelta(milliseconds=300)
    scheduler.add(command_job(command), at(soon), name="backup", misfire_grace="1m", **policies)
    before = logger.level
    logger.addHandler(log)
    logger.setLevel(logging.INFO)
    try:
        with scheduler:
            yield Started(scheduler, log, sink)
    finally:
        logger.removeHandler(log)
        logger.setLevel(before)


def run_command(command: str | Sequence[str], **policies: Any) -> tuple[OccurrenceMoved, JobLog]:  # noqa: ANN401 - see `declare`
    """Run the command once, to its end; return how it ended, and its log."""
    with started_command(command, **policies) as started:
        return started.ended(), started.log


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}
