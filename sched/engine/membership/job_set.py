"""Say in one word how all jobs of an instance are declared, so that instances can be compared.

Pure: no I/O, no clock reads, no logging.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickglass.sched.job import Job

__all__ = ["fingerprint_of"]

_DIGITS: Final = 16  # of 64: two sets of one fleet are the same by chance once in 10**19


def fingerprint_of(service: str, jobs: Iterable[Job]) -> str:
    """Return hexadecimal digits that are the same for the same jobs, in any order, whatever process asks.

    Two jobs are the same if service, name, trigger and all policies are; their functions do not count.
    """
    digest = hashlib.sha256(repr(service).encode())
    for job in sorted(jobs, key=lambda job: job.name):
        policies = (job.ttl_ns, job.timeout_ns, job.grace_ns, job.renew, job.rerun, job.runs_unclaimed, job.releases)
        digest.update(repr((job.name, str(job.trigger), job.resource, *policies, job.prefer)).encode())
    return digest.hexdigest()[:_DIGITS]
