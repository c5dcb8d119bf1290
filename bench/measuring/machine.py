"""Say on what was measured, and what else it did meanwhile: without that, no figure means anything."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["CpuTimes", "Machine", "Unrest", "git_commit", "read_cpu_times", "this_machine"]

PACKAGES: Final = ("APScheduler", "schedule", "redis", "hiredis", "python-redis-lock")


class CpuTimes(NamedTuple):
    """Ticks of all processors since the boot."""

    busy: int
    stolen: int
    total: int


@dataclass(frozen=True)
class Unrest:
    """What disturbed a run.

    Args:
        steal: part of all processor time that the hypervisor gave to other machines.
        busy: part of it that something used here, the benchmark included.
        load: tasks that wanted a processor in the last minute, before the run: none of them the benchmark's.
    """

    steal: float
    busy: float
    load: float


@dataclass(frozen=True)
class Machine:
    """The machine and the software."""

    processor: str
    cores: int
    kernel: str
    python: str
    redis_server: str
    packages: tuple[str, ...]


def parsed_cpu_times(first_line: str) -> CpuTimes:
    """Read the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; user holds the rest."""
    ticks = [int(word) for word in first_line.split()[1:9]]
    idle, stolen = ticks[3] + ticks[4], ticks[7]
    return CpuTimes(busy=sum(ticks) - idle - stolen, stolen=stolen, total=sum(ticks))


def read_cpu_times() -> CpuTimes:
    """Return the counters of now."""
    with Path("/proc/stat").open(encoding="ascii") as stat:
        return parsed_cpu_times(stat.readline())


def unrest_between(before: CpuTimes, after: CpuTimes, load: float) -> Unrest:
    """Return what happened between two readings; of two equal ones, nothing."""
    total = max(1, after.total - before.total)
    return Unrest((after.stolen - before.stolen) / total, (after.busy - before.busy) / total, load)


def this_machine() -> Machine:
    """Return where this runs."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    model = next((line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")), "unknown")
    return Machine(
        processor=model,
        cores=os.cpu_count() or 1,
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        redis_server=_redis_version(),
        packages=tuple(f"{package} {version(package)}" for package in PACKAGES),
    )


def _redis_version() -> str:
    server = shutil.which("redis-server")
    if server is None:
        return "none"
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    return next((word.removeprefix("v=") for word in said.split() if word.startswith("v=")), "unknown")


def git_commit(root: Path) -> str:
    """Return the commit that is checked out, with a word if files differ from it; "unknown" without git."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return "unknown"

    def said(*words: str) -> str:
        return subprocess.run([git, "-C", str(root), *words], capture_output=True, text=True, check=True).stdout.strip()

    changed = said("status", "--porcelain", "--untracked-files=no")
    return said("rev-parse", "--short=10", "HEAD") + (" with changes" if changed else "")
