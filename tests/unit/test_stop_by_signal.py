"""Who stops a scheduler by a signal is told what it waits for, how long, and what one more signal does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# It says on standard output when its job runs and what `run` returned. The job ends when standard input does.
PROGRAM: Final = """
import logging, os, sys
from tickglass import Scheduler, every
drain, level, kind = sys.argv[1:]
if level != "unset":
    logging.basicConfig(level=level, format="%(levelname)s %(message)s")
    logging.getLogger("tickglass.events").setLevel("WARNING")
scheduler = Scheduler("memory://", drain=drain)
@scheduler.job(every("10ms"), name="nightly")
def work(run):
    print("runs", flush=True)
    if kind == "deaf":
        sys.stdin.read()
print("left", scheduler.run(), flush=True)
os._exit(0)
"""


class Program:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert self._line(process.stdout) == "runs"

    def press(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def told(self) -> str:
        """Return the next line of the log that is not about an instant: a busy machine may miss some; "" at the end."""
        assert self._process.stderr is not None
        return next((line.rstrip() for line in self._process.stderr if "job nightly" not in line), "")

    def let_the_run_end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def left(self) -> str:
        """Wait for the end; return what `run` returned."""
        assert self._process.stdout is not None
        lines = [line for line in self._process.stdout if line.startswith("left")]
        assert self._process.wait(60) == 0
        return lines[0].removeprefix("left ").strip()

    @staticmethod
    def _line(pipe: object) -> str:
        return pipe.readline().rstrip()  # type: ignore[attr-defined,no-any-return] # a pipe of text


@contextmanager
def running(
    home: Path, code: str = PROGRAM, *, drain: str = "1h", level: str = "unset", kind: str = "deaf"
) -> Iterator[Program]:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code, drain, level, kind],
        env=os.environ | {"XDG_RUNTIME_DIR": str(home)},
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    ) as process:
        try:
            yield Program(process)
        finally:
            process.kill()


def test_ctrl_c_says_what_it_waits_for_how_long_and_that_a_second_one_hurries(tmp_path: Path) -> None:
    with running(tmp_path, drain="1h") as program:
        program.press(signal.SIGINT)
        assert program.told() == (
            "stopping, and waiting for 1 run (nightly); in 3600 s they are asked to stop; a second Ctrl-C asks them now"
        )
        program.press(signal.SIGINT)
        assert program.told() == (
            "asked to stop: 1 run (nightly); waiting 5 s at most; one more Ctrl-C leaves what has not ended"
        )
        program.press(signal.SIGINT)
        assert program.left() == "['nightly']"


def test_a_run_that_ends_after_all_ends_the_wait(tmp_path: Path) -> None:
    with running(tmp_path, drain="1h") as program:
        program.press(signal.SIGINT)
        assert "waiting for 1 run" in program.told()
        program.let_the_run_end()
        assert program.left() == "[]"


def test_the_end_of_the_drain_is_told_too(tmp_path: Path) -> None:
    with running(tmp_path, drain="300ms") as program:
        program.press(signal.SIGINT)
        assert "in 0.3 s they are asked to stop" in program.told()
        assert program.told().startswith("asked to stop: 1 run (nightly); waiting 5 s at most")
        program.press(signal.SIGINT)
        assert program.left() == "['nightly']"


@pytest.mark.parametrize(("number", "level", "key"), [("SIGTERM", "INFO", "SIGTERM"), ("SIGINT", "WARNING", "Ctrl-C")])
def test_a_person_gets_a_warning_and_a_platform_information(tmp_path: Path, number: str, level: str, key: str) -> None:
    with running(tmp_path, drain="1h", level=level) as program:
        program.press(signal.Signals[number])
        told = program.told()
        assert told.startswith(f"{level} stopping, and waiting for 1 run")
        assert told.endswith(f"a second {key} asks them now")


def test_a_quick_stop_has_nothing_to_tell(tmp_path: Path) -> None:
    with running(tmp_path, drain="1h", level="INFO", kind="quick") as program:
        program.press(signal.SIGINT)
        assert program.left() == "[]"
        assert program.told() == ""


# The main thread waits in a `with` block of its own.
BLOCK: Final = """
import os, signal, sys, threading
from tickglass import Scheduler, every
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs the tests in the background ignores it
scheduler = Scheduler("memory://", drain="1h")
entered = threading.Event()
@scheduler.job(every("10ms"), name="nightly")
def work(run):
    entered.wait()
    print("runs", flush=True)
    sys.stdin.read()
try:
    with scheduler:
        entered.set()
        threading.Event().wait()
except KeyboardInterrupt:
    print("left", "by Ctrl-C", flush=True)
    os._exit(0)
"""


def test_ctrl_c_in_a_with_block_says_it_too(tmp_path: Path) -> None:
    with running(tmp_path, BLOCK) as program:
        program.press(signal.SIGINT)
        assert program.told() == (
            "stopping, and waiting for 1 run (nightly); in 3600 s they are asked to stop; a second Ctrl-C ends the wait"
        )
        program.press(signal.SIGINT)
        assert program.left() == "by Ctrl-C"
