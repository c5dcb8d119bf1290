"""What a scheduler, a sidecar and one more idle job may take of memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kit.processes import TICKGLASS, Scrape, wait_until

if TYPE_CHECKING:
    import pytest

MIB: Final = 2**20
SCHEDULER_MAX: Final = 64 * MIB  # with 100 jobs
SIDECAR_MAX: Final = 128 * MIB  # with 500 jobs
IDLE_JOB_MAX: Final = 1_024  # beyond those that have series of their own

SCHEDULER: Final = """
import sys
from tickglass import Scheduler, every

store, jobs, spool = sys.argv[1:]
scheduler = Scheduler(store, metrics="127.0.0.1:0", spool=spool, metrics_detail="full")
for number in range(int(jobs)):
    scheduler.add(lambda: None, every("1s"), name=f"job{number}")
with scheduler:
    print(scheduler.metrics_port, flush=True)
    sys.stdin.readline()
"""

IDLE_JOBS: Final = """
import gc, sys, tracemalloc
from tickglass import Scheduler, every

store, spool = sys.argv[1:]
scheduler = Scheduler(store, spool=spool)

def add(numbers):
    for number in numbers:
        scheduler.add(print, every("1h"), name=f"job{number:07d}")

add(range(1_500))
with scheduler:
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    add(range(1_500, 5_500))
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    print((after - before) // 4_000)
"""


def peak(pid: int) -> int:
    """Return the most memory that a process has had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) * 1_024


def run(jobs: int, home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCHEDULER, f"sqlite:///{home / 'jobs.db'}", str(jobs), str(home / "spool")]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def due_of(scrape: Scrape, jobs: int) -> int:
    """Return of how many jobs an instant has fallen due."""
    return sum(scrape.total("tickglass_job_due_total", job_name=f"job{number}") > 0 for number in range(jobs))


def test_a_scheduler_with_a_hundred_jobs(tmp_path: Path) -> None:
    with run(100, tmp_path) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        wait_until(lambda: due_of(Scrape(port), 100) == 100, "the jobs run")
        found = peak(process.pid)
        process.communicate("\n")
    assert found <= SCHEDULER_MAX


def test_a_sidecar_that_is_told_of_five_hundred_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.sock"
    monkeypatch.setenv("TICKGLASS_SIDECAR", f"unix://{path}")
    command = [TICKGLASS, "sidecar", "--socket", str(path), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sidecar:
        assert sidecar.stdout is not None
        port = int(sidecar.stdout.readline().split("/")[2].rpartition(":")[2])
        with run(500, tmp_path) as process:
            wait_until(lambda: due_of(Scrape(port), 500) == 500, "the sidecar is told of the jobs")
            found = peak(sidecar.pid)
            process.communicate("\n")
        sidecar.kill()
    assert found <= SIDECAR_MAX


def test_one_more_idle_job(tmp_path: Path) -> None:
    command = [sys.executable, "-c", IDLE_JOBS, f"sqlite:///{tmp_path / 'jobs.db'}", str(tmp_path / "spool")]
    assert int(subprocess.check_output(command)) <= IDLE_JOB_MAX
