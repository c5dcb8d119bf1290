"""A scheduler that was started before a fork is of no use in the child, which says so instead of hanging."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kit.rig import wait_until
from kit.sidecar_events import listening

from tickglass.owner import Slot

if TYPE_CHECKING:
    from collections.abc import Iterable

PATIENCE_S = 10.0

pytestmark = pytest.mark.usefixtures("own_runtime")

# What gunicorn does with --preload: the master imports the application, and forks its workers.
PRELOAD = """
import logging, os, signal, sys, threading, traceback
from tickglass import ConfigError, Scheduler, every
from tickglass.events import OccurrenceMoved
from tickglass.testing import ListSink

logging.basicConfig(format="%(message)s", stream=sys.stdout)
logging.getLogger("tickglass.jobs").disabled = True
sink = ListSink()
scheduler = Scheduler(STORE, service="shop", sinks={"told": sink}, metrics="127.0.0.1:0", telemetry=SIDECAR)
ran = threading.Event()
scheduler.add(ran.set, every("10ms"), name="job")

def say(line):
    os.write(1, f"{line}\\n".encode())  # whole, beside other processes

def forked(work):
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

def joined(*pids):
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert codes == [0] * len(pids), codes
"""

BEFORE = """
def worker():
    assert scheduler.metrics_port is None
    assert scheduler.unready() != []
    say(f"unready: {scheduler.unready()[0]}")
    calls = {
        "start": scheduler.start,
        "stop": scheduler.stop,
        "add": lambda: scheduler.add(print, every("1s")),
        "lock": scheduler.lock("r").acquire,
        "collect": lambda: list(scheduler.collector.collect()),
        "with": lambda: scheduler.__exit__(None, None, None),
    }
    for name, call in calls.items():
        try:
            call()
        except ConfigError as error:
            say(f"{name} refused: {str(error).splitlines()[0]}")
        else:
            raise SystemExit(f"{name} was not refused")

with scheduler:
    assert ran.wait(10)
    joined(forked(worker), forked(worker))
    assert scheduler.unready() == []
    ran.clear()
    assert ran.wait(10), "the parent goes on"

def late():
    "After the stop, there is nothing that the child would not have."
    ran.clear()
    with scheduler:
        assert ran.wait(10)

joined(forked(late))
say("done")
"""

AFTER = """
def worker():
    with scheduler:
        assert ran.wait(10)
        ended = sink.wait_for(lambda told: isinstance(told, OccurrenceMoved) and told.event == "ended")
        say(f"owner {ended.owner}")
        os.write(told_w, b".")
        os.read(go_r, 1)  # until both run

told_r, told_w = os.pipe()
go_r, go_w = os.pipe()
workers = [forked(worker) for _ in range(2)]
for _ in workers:
    assert os.read(told_r, 1) == b"."
os.write(go_w, b"..")
joined(*workers)
say("done")
"""

ORPHANED = """
scheduler.start()
assert ran.wait(10)
say(f"port {scheduler.metrics_port}")
sys.stdin.readline()

def worker():
    say(f"child {os.getpid()}")
    signal.pause()  # it lives on until the test ends it

child = forked(worker)
sys.stdin.readline()
os._exit(0)  # the parent dies
"""


def program_of(code: str, tmp_path: Path, sidecar: str | None = None) -> list[str]:
    """Return the command that runs the code, in an application that has not started its scheduler."""
    made = PRELOAD.replace("STORE", repr(f"sqlite:///{tmp_path / 'jobs.db'}")).replace("SIDECAR", repr(sidecar))
    return [
        sys.executable,
        "-W",
        "ignore::DeprecationWarning",
        "-c",
        made + code,
    ]  # Python 3.12 warns of forks beside threads


def run(code: str, tmp_path: Path) -> list[str]:
    done = subprocess.run(program_of(code, tmp_path), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.splitlines()


def test_in_the_child_every_call_is_refused_with_what_to_do_instead(tmp_path: Path) -> None:
    lines = run(BEFORE, tmp_path)
    assert lines[-1] == "done"
    for name in ("start", "stop", "add", "lock", "collect", "with"):
        told = [line for line in lines if line.startswith(f"{name} refused: ")]
        assert len(told) == 2
        assert all("the scheduler of service shop was started before a fork: it runs in process" in it for it in told)
    assert sum(line.startswith("unready: the scheduler of service shop was started before") for line in lines) == 2


def test_the_child_says_so_at_the_fork(tmp_path: Path) -> None:
    lines = run(BEFORE, tmp_path)
    assert sum(line.endswith("start it after the fork, in each process") for line in lines) == 2


def test_a_scheduler_that_is_started_after_the_fork_runs_in_each_process_under_a_name_of_its_own(
    tmp_path: Path,
) -> None:
    lines = run(AFTER, tmp_path)
    assert lines[-1] == "done"
    owners = {line for line in lines if line.startswith("owner")}
    assert len(owners) == 2
    assert not any("before a fork" in line for line in lines)


def told_in(lines: Iterable[str], name: str) -> str:
    """Return what the next line of that name says."""
    return next(line for line in lines if line.startswith(name)).split()[1]


def test_a_child_that_outlives_the_scheduler_keeps_none_of_its_places(tmp_path: Path) -> None:
    """A port that nobody serves would hang its clients, and a sidecar would take the scheduler for a frozen one."""
    with (
        listening(tmp_path / "s.sock") as ears,
        subprocess.Popen(
            program_of(ORPHANED, tmp_path, f"unix://{ears.path}"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as app,
    ):
        assert app.stdin is not None
        assert app.stdout is not None
        port = int(told_in(app.stdout, "port"))
        socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
        ears.connected()
        os.write(app.stdin.fileno(), b"\n")
        child = told_in(app.stdout, "child")
        os.write(app.stdin.fileno(), b"\n")
        assert app.wait(PATIENCE_S) == 0
        assert Path("/proc", child).exists(), "the child lives on"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        wait_until(lambda: not ears.source.connected)
        slot = Slot("shop")
        assert slot.owner.endswith("/shop/0")
        slot.close()
        os.kill(int(child), signal.SIGKILL)
