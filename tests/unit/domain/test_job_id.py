"""A job is its service and its name, and the text of both can be read back."""

from __future__ import annotations

import random

import pytest

from tickglass.sched.job_id import JobId


@pytest.mark.parametrize(
    ("job", "text"),
    [
        (JobId("billing", "sync"), "billing/sync"),
        (JobId("bill/ing", "50%"), "bill%2Fing/50%25"),
        (JobId("a b", "ü"), "a b/ü"),
    ],
)
def test_the_text_is_what_people_write(job: JobId, text: str) -> None:
    assert str(job) == text
    assert JobId.read(text) == job


def test_no_two_jobs_have_the_same_text() -> None:
    rng = random.Random(7)

    def part() -> str:
        return "".join(rng.choices("a/%2F5", k=rng.randint(1, 5)))

    jobs = {JobId(part(), part()) for _ in range(20_000)}
    assert len({str(job) for job in jobs}) == len(jobs)
    assert all(JobId.read(str(job)) == job for job in jobs)


@pytest.mark.parametrize("text", ["sync", "a/b/c", ""])
def test_other_text_is_no_job(text: str) -> None:
    with pytest.raises(ValueError, match="unpack"):
        JobId.read(text)
