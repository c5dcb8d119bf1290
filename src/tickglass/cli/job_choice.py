"""Decide which jobs `--job` and `--service` mean: services may use the same names.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.sched.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickglass.sched.identity import JobId

__all__ = ["jobs_named", "one_job_named"]


def jobs_named(known: Iterable[JobId], name: str | None, service: str | None) -> list[JobId]:
    """Return the jobs of that name and that service; None stands for any.

    Raises:
        ConfigError: there is none, because an empty table would look like "nothing ran"; with the names that are
            nearest, or the services that have a job of that name.
    """
    jobs = list(known)
    services = sorted({job.service for job in jobs})
    named = [job for job in jobs if name in (None, job.name)]
    found = [job for job in named if service in (None, job.service)]
    if found:
        return found
    if name is not None and not named:
        raise ConfigError("there is no job of this name", given=name, instead=nearest(name, {it.name for it in jobs}))
    if name is None:
        if service is None:
            return found
        near = nearest(service, services) or tuple(services[:3])
        raise ConfigError("there is no job of this service", given=service, instead=near)
    theirs = [job.service for job in named]
    near = nearest(service or "", theirs) or tuple(sorted(theirs))
    instead = tuple(f"--service {other}" for other in near)
    raise ConfigError("that service has no job of this name", given=f"{name} --service {service}", instead=instead)


def one_job_named(known: Iterable[JobId], name: str, service: str | None) -> JobId:
    """Return the one job of that name.

    Raises:
        ConfigError: there is none, or several services have one.
    """
    found = jobs_named(known, name, service)
    if len(found) > 1:
        raise ConfigError("several services have a job of this name", given=name, instead=_services_of(found))
    return found[0]


def _services_of(jobs: Iterable[JobId]) -> tuple[str, ...]:
    return tuple(f"--service {job.service}" for job in jobs)
