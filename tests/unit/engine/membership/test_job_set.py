"""Instances compare their jobs by a fingerprint: the same for the same declarations, and no other."""

from __future__ import annotations

import pytest
from kit.own_process import nothing

from tickglass.sched.engine.membership.job_set import fingerprint_of
from tickglass.sched.job import Job, declare
from tickglass.sched.triggers import every


def job(name: str = "a", seconds: int = 1, **policies: object) -> Job:
    return declare(nothing, every(f"{seconds}s"), service="svc", name=name, **policies)  # type: ignore[arg-type]


def test_order_and_function_do_not_change_the_fingerprint() -> None:
    other = declare(lambda: None, every("1s"), service="svc", name="a")
    assert fingerprint_of("svc", [job("a"), job("b")]) == fingerprint_of("svc", [job("b"), other])


@pytest.mark.parametrize(
    "others",
    [
        [],
        [job("b")],
        [job(), job("b")],
        [job(seconds=2)],
        [job(ttl="20s")],
        [job(timeout="20s")],
        [job(misfire_grace="20s")],
        [job(resource="other")],
        [job(rerun_orphaned=False)],
        [job(on_outage="run")],
        [job(prefer="region=a")],
        [job(timeout="20s", renew=False)],
    ],
)
def test_every_other_part_of_a_declaration_changes_the_fingerprint(others: list[Job]) -> None:
    assert fingerprint_of("svc", others) != fingerprint_of("svc", [job()])


def test_another_service_has_another_fingerprint() -> None:
    assert fingerprint_of("svc", [job()]) != fingerprint_of("other", [job()])


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    assert fingerprint_of("svc", [job()]) == "e632851b429ddb3e"
