"""A function is looked at once, though many jobs have it."""

from __future__ import annotations

import inspect

import pytest

from tickglass.sched.errors import ConfigError
from tickglass.sched.job import Callees, callee_of, declare
from tickglass.sched.triggers import every


class Looked:
    """A callable that counts how often its parameters are read."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, run: object) -> None: ...

    @property
    def __signature__(self) -> inspect.Signature:
        self.times += 1
        return inspect.signature(lambda run: run)


class Equal(Looked):
    """One that claims to be any other."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


def test_jobs_of_one_function_look_at_it_once() -> None:
    callees, function = Callees(), Looked()
    for number in range(3):
        job = declare(function, every("1s"), service="svc", read=callees.of, name=f"job{number}")
        assert (job.wants_run, job.coroutine) == (True, False)
    assert function.times == 1


def test_each_function_is_looked_at_though_it_claims_to_be_another() -> None:
    callees, functions = Callees(), [Equal(), Equal()]
    for function in functions:
        callees.of(function, "job")
    assert [function.times for function in functions] == [1, 1]


def test_it_remembers_no_more_functions_than_a_program_uses_again_and_again() -> None:
    callees = Callees()
    for _ in range(1_000):
        callees.of(lambda: None, "job")
    assert len(callees._known) <= 64


def test_a_function_that_cannot_be_a_job_is_refused_each_time_under_the_name_of_the_job() -> None:
    callees = Callees()
    for name in ("first", "second"):
        with pytest.raises(ConfigError, match=f"job {name} is called with the run alone"):
            callees.of(lambda _one, _two: None, name)


def test_what_is_remembered_is_what_is_seen() -> None:
    async def later(run: object) -> None: ...

    callees = Callees()
    assert callees.of(later, "job") == callees.of(later, "job") == callee_of(later, "job")
    assert callee_of(later, "job").coroutine
