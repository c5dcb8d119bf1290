"""Declarations: what is wrong is refused where it is written, in words of its own."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tickglass.sched.durations import MS, SECOND, duration_ns, duration_text
from tickglass.sched.errors import ConfigError
from tickglass.sched.job import declare
from tickglass.sched.triggers import at, every

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tickglass.sched.run import Run


def job(run: Run) -> None: ...
def two(run: Run, other: int) -> None: ...
def keyword(*, run: Run) -> None: ...
def yields(run: Run) -> Iterator[Run]:
    yield run


async def ayields(run: Run) -> AsyncIterator[Run]:
    yield run


class Yields:
    def __call__(self, run: Run) -> Iterator[Run]:
        yield run


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "a job name is needed"),
    ({"name": 7}, "a job name is text, not int"),
    ({"name": "x" * 201}, "at most 200 characters, this one 201"),
    ({"name": "a\nb"}, "no control characters"),
    ({"name": " a"}, "no blanks at its ends"),
    ({"name": "__other__"}, "two underscores"),
    ({"resource": ""}, "a resource is needed"),
    ({"resource": 1.5}, "a resource is text, not float"),
    ({"ttl": "30"}, "ttl is not a duration with units"),
    ({"ttl": 30}, "ttl must be a duration with its unit, not int"),
    ({"ttl": "1ms"}, "ttl must be at least 50ms"),
    ({"ttl": "-5s"}, "ttl is not a duration"),
    ({"ttl": timedelta(seconds=-1)}, "ttl must be at least"),
    ({"ttl": ""}, "ttl is empty"),
    ({"ttl": "5 s"}, "ttl is not a duration"),
    ({"ttl": "1s1h"}, "each unit once, largest first"),
    ({"ttl": "1m1m"}, "each unit once, largest first"),
    ({"ttl": "0.0000000001s"}, "finer than a nanosecond"),
    ({"ttl": "36501d"}, "ttl is at most 36500d, a century"),
    ({"timeout": timedelta.max}, "timeout is at most 36500d, a century"),
    ({"on_timeout": "kill", "timeout": "1s"}, "on_timeout is one of two words"),
    ({"on_timeout": "release"}, "needs a timeout"),
    ({"timeout": "0s"}, "timeout must be at least 1ms"),
    ({"timeout": "soon"}, "timeout is not a duration"),
    ({"timeout": None, "renew": False}, "a lease that is not renewed needs a timeout"),
    ({"timeout": "26s", "renew": False}, "ttl must be at least timeout + 5s"),
    ({"renew": "no"}, "renew is True or False, not str"),
    ({"rerun_orphaned": 0}, "rerun_orphaned is True or False, not int"),
    ({"on_outage": "wait"}, "on_outage is one of two words"),
    ({"prefer": "a"}, "a preference names labels"),
    ({"prefer": ""}, "a preference names labels"),
    ({"prefer": ["region=a"]}, "a preference is text, not list"),
    ({"misfire_grace": "0ms"}, "misfire_grace must be at least 1ms"),
    ({"misfire_grace": "13h"}, "misfire_grace is at most 12h"),
    ({"misfire_grace": True}, "misfire_grace must be a duration with its unit, not bool"),
]


@pytest.mark.parametrize(("policies", "words"), WRONG)
def test_a_wrong_policy_is_refused(policies: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("+", r"\+")):
        declare(job, every("1s"), service="svc", **policies)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (two, r"job two is called with the run alone\n    def two\(run"),
        (keyword, "job keyword is called with the run alone"),
        (yields, "job yields yields"),
        (ayields, "job ayields yields"),
        (lambda run: None, "a job name is needed"),
        (partial(job), "a job name is needed"),
        (7, "a job name is needed"),
    ],
)
def test_a_wrong_function_is_refused(function: Callable[..., Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        declare(function, every("1s"), service="svc")


def test_a_name_without_a_function_is_refused() -> None:
    with pytest.raises(ConfigError, match="job seven is not callable"):
        declare(7, every("1s"), service="svc", name="seven")  # type: ignore[arg-type]


def test_an_object_whose_call_yields_is_refused() -> None:
    with pytest.raises(ConfigError, match="job yields yields"):
        declare(Yields(), every("1s"), service="svc", name="yields")


def test_a_trigger_is_needed() -> None:
    with pytest.raises(ConfigError, match="a job needs a trigger, not str") as refused:
        declare(job, "* * * * *", service="svc")  # type: ignore[arg-type]
    assert 'every("100ms")' in str(refused.value)


def test_the_error_shows_the_text_and_points_at_the_part() -> None:
    with pytest.raises(ConfigError) as refused:
        duration_ns("1h 30m", what="ttl")
    assert str(refused.value).splitlines()[1:3] == ["    1h 30m", "      ^^^^"]


@pytest.mark.parametrize(
    ("text", "total_ns"),
    [("100ms", 100 * MS), ("1h30m", 5_400 * SECOND), ("1.5s", 1_500 * MS), ("1d", 86_400 * SECOND), ("250us", 250_000)],
)
def test_durations_read_and_write_alike(text: str, total_ns: int) -> None:
    assert duration_ns(text, what="it") == total_ns
    assert duration_ns(duration_text(total_ns), what="it") == total_ns


def test_the_source_designs_own_numbers_are_accepted_without_renewal() -> None:
    made = declare(job, every("100ms"), service="svc", ttl="30s", timeout="25s", renew=False)
    assert (made.ttl_ns, made.timeout_ns) == (30 * SECOND, 25 * SECOND)


def test_the_default_grace_is_one_interval_and_at_most_a_minute() -> None:
    made = declare(job, every("100ms"), service="svc")
    assert made.grace_at(0, 100 * MS) == 100 * MS
    assert made.grace_at(0, 3_600 * SECOND) == 60 * SECOND
    assert declare(job, at("2026-01-01T00:00:00Z"), service="svc").grace_at(0, None) == 60 * SECOND


def test_a_function_is_given_the_run_only_if_it_takes_it() -> None:
    assert declare(job, every("1s"), service="svc").wants_run
    assert not declare(lambda: None, every("1s"), service="svc", name="plain").wants_run
    assert declare(lambda *all_of_it: None, every("1s"), service="svc", name="starred").wants_run
