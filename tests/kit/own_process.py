"""What a scheduler uses of this process: threads, descriptors, a runtime directory, its endpoint."""

from __future__ import annotations

import http.client
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tickglass import Scheduler

__all__ = ["children", "descriptors", "nothing", "own_runtime", "ready", "status_of", "threads"]

_PATIENCE_S: Final = 10.0


@pytest.fixture
def own_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a runtime directory for this test's schedulers alone; no exporter is named by the environment."""
    home = tmp_path / "runtime"
    home.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    return home


def nothing() -> None:
    """Be the function of a job."""


def threads() -> set[str]:
    """Return the names of the threads of Tickglass that run."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("tickglass")}


def descriptors() -> set[str]:
    """Return the numbers of the open files."""
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names will do


def children() -> set[int]:
    """Return the processes that this one has started and not yet taken leave of, those that have ended too."""
    found: set[int] = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            if int(status.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(status.parent.name))
    return found


def ready(scheduler: Scheduler) -> int:
    """Return the status with which the scheduler's endpoint answers to a probe of its readiness."""
    return status_of(scheduler, "/readyz")


def status_of(scheduler: Scheduler, path: str, **headers: str) -> int:
    """Return the status with which the scheduler's endpoint answers."""
    assert scheduler.metrics_port is not None
    connection = http.client.HTTPConnection("127.0.0.1", scheduler.metrics_port, timeout=_PATIENCE_S)
    connection.request("GET", path, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status
