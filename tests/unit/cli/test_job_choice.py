"""A name that several services use needs a service, and a wrong name is answered with the right ones."""

from __future__ import annotations

import pytest

from tickglass.cli.job_choice import jobs_named, one_job_named
from tickglass.sched.errors import ConfigError
from tickglass.sched.identity import JobId

BILLING, MAIL, NIGHTLY = JobId("billing", "sync"), JobId("mail", "sync"), JobId("mail", "nightly")
KNOWN = [BILLING, MAIL, NIGHTLY]


@pytest.mark.parametrize(
    ("name", "service", "found"),
    [
        (None, None, KNOWN),
        ("sync", None, [BILLING, MAIL]),
        ("sync", "mail", [MAIL]),
        (None, "mail", [MAIL, NIGHTLY]),
    ],
)
def test_a_name_and_a_service_select_the_jobs_that_match_both(
    name: str | None, service: str | None, found: list[JobId]
) -> None:
    assert jobs_named(KNOWN, name, service) == found


def test_one_job_of_a_name_needs_no_service() -> None:
    assert one_job_named(KNOWN, "nightly", None) == NIGHTLY
    assert one_job_named(KNOWN, "sync", "billing") == BILLING


@pytest.mark.parametrize(
    ("name", "service", "told"),
    [
        ("sync", None, "several services have a job of this name.*--service billing.*--service mail"),
        ("nightly", "billing", "that service has no job of this name.*--service mail"),
        ("nigtly", None, "there is no job of this name.*nightly"),
        ("sync", "biling", "that service has no job of this name.*--service billing"),
        ("sync", "other", "that service has no job of this name.*--service billing.*--service mail"),
        (None, "biling", "there is no job of this service.*billing"),
    ],
)
def test_what_is_wrong_is_told_with_what_would_be_right(name: str | None, service: str | None, told: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){told}"):
        one_job_named(KNOWN, name, service) if name is not None else jobs_named(KNOWN, name, service)
