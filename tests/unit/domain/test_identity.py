"""A job is its service and its name; two declarations of it differ in trigger or function."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import date
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import pytest

from tickglass.sched.identity import JobId, TargetedFunction, declaration_of, target_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("job", "text"),
    [
        (JobId("billing", "sync"), "billing/sync"),
        (JobId("bill/ing", "50%"), "bill%2Fing/50%25"),
        (JobId("a b", "ü"), "a b/ü"),
    ],
)
def test_a_job_is_read_back_from_its_text(job: JobId, text: str) -> None:
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


# --- declarations


def sync() -> None:
    """One."""


def other() -> None:
    """Two."""


class Called:
    def __call__(self) -> None:
        """Three."""

    def method(self) -> None:
        """Four."""


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def around(*given: object) -> object:
        return function(*given)

    return around


HERE = __name__


def test_a_target_that_was_written_down_is_told_with_its_arguments_in_one_order() -> None:
    told = target_of(TargetedFunction.of(sync, "billing:sync", {"b": {"y": 1, "x": date(2026, 1, 1)}, "a": "eu"}))
    assert told == 'billing:sync{"a": "eu", "b": {"x": "2026-01-01", "y": 1}}'
    assert target_of(partial(TargetedFunction.of(sync, "billing:sync", {}))) == "billing:sync"


def test_a_target_is_the_module_and_the_name() -> None:
    assert target_of(sync) == target_of(partial(sync)) == target_of(traced(sync)) == f"{HERE}:sync"
    assert target_of(Called()) == f"{HERE}:Called"
    assert target_of(Called().method) == f"{HERE}:Called.method"


def test_a_declaration_differs_in_trigger_or_function() -> None:
    same = declaration_of("every 1s", target_of(sync))
    assert same == declaration_of("every 1s", target_of(partial(sync)))
    assert len({same, declaration_of("every 2s", target_of(sync)), declaration_of("every 1s", target_of(other))}) == 3
    assert len(same) == 8


def test_a_script_has_the_same_targets_wherever_it_lies_and_however_it_is_run(tmp_path: Path) -> None:
    code = "from tickglass.sched.identity import target_of\ndef sync(): ...\nprint(target_of(sync))\n"
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "app.py").write_text(code)
    ways = [["a/app.py"], ["b/app.py"], ["-c", "import sys; sys.path.insert(0, 'a'); import app"]]
    told = [subprocess.check_output([sys.executable, *way], cwd=tmp_path, text=True) for way in ways]
    as_module = subprocess.check_output([sys.executable, "-m", "app"], cwd=tmp_path / "a", text=True, env={})
    assert {*told, as_module} == {"app:sync\n"}
