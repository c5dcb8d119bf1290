"""Load the scripts for the records of instances, build their arguments, and read their answers.

Pure but for reading the scripts from this package, once. Each .lua file opens with its KEYS, ARGV and result.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.ports import SILENT_AFTER_NS, InstanceRecord
from tickglass.sched.stores.redis.scripts import load_script
from tickglass.sched.stores.retention import GONE_KEPT, LEFT_KEEP_NS, SILENT_KEEP_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.stores.redis.scripts import Argument

__all__ = ["BEAT", "INSTANCES", "JOB_SET", "JOIN", "beat_args", "instances_in", "join_args", "names_in"]

JOIN: Final = load_script("join")
BEAT: Final = load_script("beat")
INSTANCES: Final = load_script("instances", writes=False)
JOB_SET: Final = load_script("job_set", writes=False)


def join_args(instance: InstanceRecord, jobs: Sequence[str]) -> tuple[Argument, ...]:
    """Return ARGV of JOIN."""
    kept = (SILENT_AFTER_NS // 1_000, LEFT_KEEP_NS // 1_000, SILENT_KEEP_NS // 1_000, GONE_KEPT)
    return (*beat_args(instance), json.dumps(sorted(jobs)), *kept)


def beat_args(instance: InstanceRecord) -> tuple[Argument, ...]:
    """Return ARGV of BEAT, with which JOIN's begins too."""
    who = (instance.incarnation, instance.service, instance.owner, instance.version)
    return (*who, instance.fingerprint, instance.state)


def instances_in(rows: Sequence[Any]) -> list[InstanceRecord]:
    """Read the answer of INSTANCES."""
    found = []
    for incarnation, record, silent_us in rows:
        service, owner, version, fingerprint, state, seen_us = json.loads(record)
        times = (int(seen_us) * 1_000, int(silent_us) * 1_000)
        found.append(InstanceRecord(service, owner, incarnation, version, fingerprint, state, *times))
    return sorted(found, key=lambda it: (it.service, it.owner, it.incarnation))


def names_in(reply: str | None) -> list[str] | None:
    """Read the answer of JOB_SET."""
    return None if reply is None else json.loads(reply)
