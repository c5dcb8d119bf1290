"""A command that writes without end blocks nothing, and nothing of it is left when its run has ended."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from kit.command_runs import is_alive, run_command, started_command
from kit.own_process import children, descriptors
from kit.processes import wait_until

from tickglass.command.ending import KILL_AFTER_NS
from tickglass.sched.clock import SystemClock
from tickglass.sched.lifecycle import STOP_GRACE_NS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("own_runtime")

FLOOD = "import sys\nfor n in range(30_000):\n print('o' * 50, n)\n print('e' * 50, n, file=sys.stderr)\nsys.exit(9)"
FOREVER = "echo pid $$; while :; do sleep 0.05; done"
DEAF = f"trap '' TERM; {FOREVER}"


def pid_in(line: str) -> int:
    return int(line.split()[1])


def is_pid(line: str) -> bool:
    return line.startswith("pid ")


def test_a_flood_on_both_streams_blocks_nothing_and_is_read_to_its_end() -> None:
    ended, log = run_command([sys.executable, "-c", FLOOD])
    out, err = log.lines("stdout"), log.lines("stderr")
    assert (len(out), len(err)) == (30_000, 30_000)
    assert out[-1].endswith(" 29999")
    assert ended.error.startswith("CommandFailed: exit code 9\n")
    assert ended.error.endswith(" 29999")
    assert len(ended.error) < 2_100


def test_a_run_leaves_no_file_no_thread_and_no_zombie() -> None:
    with started_command("exit 0") as started:
        started.ended()  # what a first run makes and keeps is there now
        before, threads, processes = descriptors(), set(threading.enumerate()), children()
        for command in ("echo a", "exit 3", ["/nowhere/backup"], "kill -9 $$"):
            with started_command(command) as other:
                other.ended()
        assert descriptors() == before
        assert set(threading.enumerate()) <= threads
        assert children() <= processes, "not even as zombies"


def test_a_timeout_ends_the_command() -> None:
    with started_command(FOREVER, timeout="2s") as started:
        pid = pid_in(started.log.wait_for(is_pid))
        ended = started.ended()
    assert (ended.outcome, ended.reason) == ("timeout", "timeout")
    assert ended.error == "CommandFailed: ended by SIGTERM, after the run was asked to stop (timeout)"
    assert not is_alive(pid)


def test_a_stop_is_obeyed_in_the_middle_of_a_flood() -> None:
    ended, log = run_command("cat /dev/zero", timeout="1s")
    assert (ended.outcome, len(log.records)) == ("timeout", 1)
    assert ended.error == "CommandFailed: ended by SIGTERM, after the run was asked to stop (timeout)"


def test_a_shutdown_kills_a_command_that_is_deaf_to_sigterm() -> None:
    with started_command(DEAF) as started:
        pid = pid_in(started.log.wait_for(is_pid))
        assert started.scheduler.stop(drain="0s") == []
        ended = started.ended()
    assert ended.outcome == "cancelled"
    assert ended.error == "CommandFailed: ended by SIGKILL, after the run was asked to stop (shutdown)"
    assert not is_alive(pid)
    assert KILL_AFTER_NS < STOP_GRACE_NS


def test_a_lost_lease_ends_the_command_and_all_that_it_started(tmp_path: Path) -> None:
    file = tmp_path / "jobs.db"
    with started_command(f"({FOREVER}) & wait", store=f"sqlite:///{file}", ttl="1s") as started:
        pid = pid_in(started.log.wait_for(is_pid))
        with sqlite3.connect(file, timeout=10) as database:
            database.execute("DELETE FROM leases WHERE job = 'backup'")
        database.close()
        ended = started.ended()
    assert ended.outcome == "lost"
    wait_until(lambda: not is_alive(pid), "the grandchild lives")


def test_a_grandchild_has_its_time_to_end_although_the_shell_obeys_at_once() -> None:
    slow = "trap 'sleep 0.5; echo tidied; exit 0' TERM; echo pid $$; while :; do sleep 0.05; done"
    with started_command(["/bin/sh", "-c", 'sh -c "$1" 2>/dev/null & wait', "sh", slow], timeout="2s") as started:
        started.log.wait_for(is_pid)
        ended = started.ended()
        assert started.log.lines()[-1] == "tidied"
    assert ended.outcome == "timeout"


@pytest.mark.parametrize("redirected", ["", ">/dev/null 2>&1"])
def test_what_a_command_leaves_behind_is_stopped_and_told(redirected: str) -> None:
    command = f'sleep 1000 {redirected} & echo "pid $!"'
    ended, log = run_command(command)
    assert ended.outcome == "success"
    assert any("left processes behind" in record.getMessage() for record in log.records)
    wait_until(lambda: not is_alive(pid_in(log.lines()[0])), "it lives")


def test_what_ends_soon_after_the_command_is_read_to_its_end() -> None:
    _, log = run_command("(sleep 0.3; echo late) & exit 0")
    assert log.lines() == ["late"]
    assert len(log.records) == 1


def test_a_daemon_that_left_the_group_and_keeps_the_output_does_not_hold_the_run() -> None:
    fork = "import os\nif os.fork() == 0:\n os.setsid()\n print('pid', os.getpid(), flush=True)"
    daemon = f"{fork}\n os.execlp('sleep', 'sleep', '1000')"
    ended, log = run_command([sys.executable, "-c", daemon])
    pid = pid_in(log.wait_for(is_pid))
    assert ended.outcome == "success"
    assert is_alive(pid)
    os.kill(pid, 9)


def test_a_command_that_closes_its_output_is_waited_for() -> None:
    clock = SystemClock()
    began_ns = clock.monotonic_ns()
    ended, _ = run_command("exec >/dev/null 2>&1; sleep 0.5; exit 4")
    assert ended.error == "CommandFailed: exit code 4"
    assert clock.monotonic_ns() - began_ns > 500_000_000


def test_without_a_descriptor_for_the_exit_it_is_seen_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.delattr(os, "waitid")
    ended, log = run_command("echo one; exit 5")
    assert (ended.error, log.lines()) == ("CommandFailed: exit code 5", ["one"])
