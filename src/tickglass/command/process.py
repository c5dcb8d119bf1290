"""Start a command, read what it writes while it runs, and wait for its end.

All in one loop on the caller's thread: no pipe fills up and blocks the command, and no thread is left behind.
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
from contextlib import ExitStack, nullcontext, suppress
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from tickglass.command.ending import Ending
from tickglass.command.output import OutputLines
from tickglass.sched.run import current_stop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.run import Run

__all__ = ["Ended", "run_to_end"]

_CHUNK: Final = 65_536  # what a pipe holds
# A lease can run out without a stop being asked for, if this process was frozen; so the loop looks this often.
_LOOK_S: Final = 1.0
_LOOK_FOR_EXIT_S: Final = 0.05  # where no descriptor tells of the end of a process


class Ended(NamedTuple):
    """How a command ended.

    Args:
        code: its exit code; negative: the number of the signal that ended it.
        errors: the end of its standard error.
        stopped_for: why it was stopped; "": it was not.
        killed: whether it did not obey SIGTERM in time.
    """

    code: int
    errors: str
    stopped_for: str
    killed: bool


def run_to_end(words: Sequence[str], run: Run) -> Ended:
    """Run a command until it and what it started have ended.

    Raises:
        OSError: it cannot be started.
    """
    with ExitStack() as stack:
        lifeline, held = os.pipe()
        stack.callback(os.close, lifeline)
        try:
            process = _started(words, run, held)
        finally:
            os.close(held)
        stack.callback(process.wait)  # reaped last, see ending.py
        ending = Ending(process, run)
        errors = _Watch(process, lifeline, run, ending, stack).until_ended()
    return Ended(process.returncode, errors, ending.stopped_for, ending.killed)


def _started(words: Sequence[str], run: Run, held: int) -> subprocess.Popen[bytes]:
    facts = {
        "TICKGLASS_RUN_ID": run.run_id,
        "TICKGLASS_JOB": run.job,
        "TICKGLASS_DUE_AT": run.due_at.isoformat(),
        "TICKGLASS_FENCE": str(run.fence),
    }
    return subprocess.Popen(  # noqa: S603 - the user's own command
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, **facts},
        start_new_session=True,  # a group of its own, and no terminal whose Ctrl-C would reach it
        pass_fds=(held,),
    )


class _Watch:
    """Waits for output, for the command's exit, for a stop, and for the end of the last process.

    Args:
        lifeline: ends when every process that inherited its other end has ended.
        stack: closes what is opened here.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], lifeline: int, run: Run, ending: Ending, stack: ExitStack
    ) -> None:
        self._ending = ending
        self._selector = stack.enter_context(selectors.DefaultSelector())
        ids = {"run_id": run.run_id, "job": run.job, "resource": run.resource, "fence": run.fence}
        self._errors = OutputLines("stderr", ids)
        self._streams: dict[int, OutputLines | None] = {lifeline: None}  # those that have not ended
        for pipe, lines in ((process.stdout, OutputLines("stdout", ids)), (process.stderr, self._errors)):
            self._streams[_entered(pipe, stack).fileno()] = lines
        self._bell = _bell(stack)
        exit_told = _exit_descriptor(process.pid, stack)
        for descriptor in (*self._streams, self._bell.fileno(), *exit_told):
            self._selector.register(descriptor, selectors.EVENT_READ)
        self._look_s = _LOOK_S if exit_told else _LOOK_FOR_EXIT_S

    def until_ended(self) -> str:
        """Wait; return the end of what was written to standard error."""
        try:
            # A process that has left the group is not killed with it, and may hold a stream open for ever.
            while not (self._ending.exited and (not self._streams or self._ending.killed)):
                self._turn()
        except BaseException:
            self._ending.kill()  # an error here leaves no command behind
            raise
        for lines in self._streams.values():
            _end(lines)
        return self._errors.tail

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._ending.patience_s(self._look_s)):
            if key.fd in self._streams:
                self._read(key.fd)
            else:  # a stop, or the exit: the ending sees which
                self._selector.unregister(key.fd)
        self._ending.press_on()

    def _read(self, descriptor: int) -> None:
        data = os.read(descriptor, _CHUNK)
        lines = self._streams[descriptor]
        if not data:
            self._selector.unregister(descriptor)
            del self._streams[descriptor]
            _end(lines)
        elif lines is not None:
            lines.take(data)


def _end(lines: OutputLines | None) -> None:
    if lines is not None:
        lines.end()


def _entered(pipe: IO[bytes] | None, stack: ExitStack) -> IO[bytes]:
    if pipe is None:
        raise TypeError("a stream of the command is no pipe")
    return stack.enter_context(pipe)


def _bell(stack: ExitStack) -> socket.socket:
    """Return what can be read as soon as the run is asked to stop.

    Any thread may ring, also while this one ends. A socket knows that it was closed; the number of a pipe could
    mean another file by then.
    """
    heard, rung = (stack.enter_context(end) for end in socket.socketpair())
    rung.setblocking(False)

    def ring() -> None:
        with suppress(OSError):  # it was closed, or has been rung often enough
            rung.send(b"!")

    stop = current_stop()
    stack.enter_context(nullcontext() if stop is None else stop.calling(ring))
    return heard


def _exit_descriptor(pid: int, stack: ExitStack) -> tuple[int, ...]:
    """Return what can be read as soon as the process has exited; nothing where the system has none."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux; a kernel before 5.3, a sandbox without it
        return ()
    stack.callback(os.close, descriptor)
    return (descriptor,)
