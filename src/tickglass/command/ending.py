"""End a command and all processes of its group: SIGTERM, and SIGKILL to those that do not obey.

The command is not reaped before its group is done with. Until then its number, which is that of the group, means no
other process, so no signal can hit a stranger.
"""

from __future__ import annotations

import logging
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.lifecycle import STOP_GRACE_NS

if TYPE_CHECKING:
    import subprocess

    from tickglass.sched.run import Run

__all__ = ["KILL_AFTER_NS", "LEFT_BEHIND_NS", "Ending"]

# A stop waits STOP_GRACE_NS for a run. The kill comes before that, or a deaf command would outlive this process.
KILL_AFTER_NS: Final = STOP_GRACE_NS - SECOND
LEFT_BEHIND_NS: Final = SECOND  # so long may what the command started go on after it, such as a `tee` behind it

_CLOCK: Final = SystemClock()  # a command lives in real time, whatever clock the scheduler has
_log: Final = logging.getLogger("tickglass.jobs")


class Ending:
    """How far the end of a command has come.

    Attributes:
        exited: whether the command itself has ended.
        killed: whether its group got SIGKILL.
        stopped_for: why the run was asked to stop, if it was and the command had not ended before; else "".
    """

    def __init__(self, process: subprocess.Popen[bytes], run: Run) -> None:
        self._process = process
        self._run = run
        self._due_ns: int | None = None  # when the next step is due, if one is known
        self._terminated = False
        self.exited = False
        self.killed = False
        self.stopped_for = ""

    def press_on(self) -> None:
        """Do what is due now, while a process of the command lives."""
        if not self.exited and _has_exited(self._process):
            self.exited = True
            if not self._terminated:
                self._due_ns = _CLOCK.monotonic_ns() + LEFT_BEHIND_NS
        if self._terminated:
            if not self.killed and self._is_due():
                self.kill()
        elif self._run.cancelled:
            self.stopped_for = "" if self.exited else self._run.cancel_reason
            self._terminate()
        elif self._is_due():
            _log.warning(
                "the command has ended and left processes behind; they are stopped, because the run ends with it",
                extra={"run_id": self._run.run_id, "job": self._run.job},
            )
            self._terminate()

    def patience_s(self, longest_s: float) -> float:
        """Return in how many seconds something is due, at most `longest_s`."""
        if self._due_ns is None or self.killed:
            return longest_s
        return max(0.0, min(longest_s, (self._due_ns - _CLOCK.monotonic_ns()) / SECOND))

    def kill(self) -> None:
        """Kill what is left of the group."""
        self.killed = True
        self._signal(signal.SIGKILL)

    def _is_due(self) -> bool:
        return self._due_ns is not None and _CLOCK.monotonic_ns() >= self._due_ns

    def _terminate(self) -> None:
        self._terminated = True
        self._due_ns = _CLOCK.monotonic_ns() + KILL_AFTER_NS
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # none is left; all run as another user
            os.killpg(self._process.pid, number)


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    """Return whether it has, without reaping it where the system can tell."""
    if process.returncode is not None:
        return True
    if not hasattr(os, "waitid"):  # macOS, before Python 3.13
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # this program ignores SIGCHLD, so the system has reaped it
        return True
