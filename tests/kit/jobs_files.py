"""What importers write: read back, and held to what a jobs file may say."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.durations import duration_ns
from tickglass.sched.triggers.text import trigger_of

if TYPE_CHECKING:
    from tickglass.importing import Imported
    from tickglass.sched.triggers import Trigger

__all__ = ["GOLDEN", "checked_jobs", "trigger_in"]

GOLDEN: Final = Path(__file__).parents[1] / "unit/importing/golden"


def checked_jobs(found: Imported) -> dict[str, dict[str, Any]]:
    """Return the jobs of the file; every remark is in it, every trigger can be read."""
    file = tomllib.loads(found.text)
    assert set(file) <= {"jobs"}
    jobs: dict[str, dict[str, Any]] = file.get("jobs", {})
    assert len(jobs) == found.jobs
    for name, job in jobs.items():
        assert set(job) <= {"target", "command", "trigger", "arguments", "misfire_grace"}
        assert ("target" in job) is not ("command" in job)
        trigger_in(jobs, name)
        if "misfire_grace" in job:
            duration_ns(job["misfire_grace"], what="misfire_grace")
    assert found.text.count("\n# remark: ") == len(found.remarks)
    return jobs


def trigger_in(jobs: dict[str, dict[str, Any]], name: str) -> Trigger:
    trigger = trigger_of(jobs[name]["trigger"], name)
    assert trigger is not None, jobs[name]["trigger"]
    return trigger
