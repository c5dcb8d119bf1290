"""A shell completes names that the store knows, soon or not at all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tickglass.cli import main
from tickglass.cli.name_completion import WITHIN_S
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.ports import InstanceRecord
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from unit.cli.conftest import Filled

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import Store

OWNER = "host/billing/0"


@pytest.fixture(autouse=True)
def no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TICKGLASS_STORE", raising=False)


@pytest.fixture
def known(filled: Filled) -> Filled:
    filled.register("sync")
    filled.register("nightly")
    filled.register("nightly", service="mail")
    filled.store.join(InstanceRecord("billing", OWNER, "i1", "1.2.3", "f00d", "running"), ["sync"])
    filled.store.join(InstanceRecord("billing", "host/billing/1", "i2", "1.2.3", "f00d", "left"), ["sync"])
    filled.lock("order:1001")
    return filled


def completed(words: str, store: str | None) -> list[str]:
    """Return what fish is told for a line whose last word is to be completed."""
    asked = {"_TICKGLASS_COMPLETE": "fish_complete", "COMP_WORDS": words, "COMP_CWORD": words.rpartition(" ")[2]}
    environment = asked if store is None else {**asked, "TICKGLASS_STORE": store}
    result = CliRunner().invoke(main, env=environment, prog_name="tickglass", catch_exceptions=False)
    assert (result.exit_code, result.stderr) == (0, "")
    return [line.partition(",")[2].partition("\t")[0] for line in result.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        *((f"tickglass {act} ", ["nightly", "sync"]) for act in ("pause", "resume", "skip", "trigger", "cancel")),
        ("tickglass pause n", ["nightly"]),
        ("tickglass pause x", []),
        ("tickglass forget s", ["sync"]),
        ("tickglass runs --job ", ["nightly", "sync"]),
        ("tickglass audit --job s", ["sync"]),
        ("tickglass pause nightly --service ", ["billing", "mail"]),
        ("tickglass instances --service b", ["billing"]),
        ("tickglass unlock ", ["order:1001"]),
        ("tickglass drain ", [OWNER]),
        ("tickglass undrain host", [OWNER]),
        ("tickglass und", ["undrain"]),
        ("tickglass nonsense x", []),
    ],
)
def test_names_come_from_the_store_of_the_environment(words: str, names: list[str], known: Filled) -> None:
    assert completed(words, known.url) == names


def test_without_the_variable_the_default_store_is_read(
    known: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert completed("tickglass pause s", None) == ["sync"]


@pytest.mark.parametrize("store", ["sqlite:////nowhere/jobs.db", "nonsense", "redis://127.0.0.1:1", "memory://"])
def test_an_error_completes_nothing_and_says_nothing(store: str) -> None:
    assert completed("tickglass pause ", store) == []


def test_a_store_that_is_slow_is_given_up(known: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, clock = threading.Event(), SystemClock()

    def slow(url: str, its_clock: Clock) -> Store:
        answer.wait()
        return open_store(url, its_clock)

    monkeypatch.setattr("tickglass.cli.name_completion.open_store", slow)
    before_ns = clock.monotonic_ns()
    assert completed("tickglass pause ", known.url) == []
    assert clock.monotonic_ns() - before_ns >= WITHIN_S * SECOND, "it was asked"
    answer.set()


def test_a_name_that_breaks_lines_is_left_out(known: Filled) -> None:
    known.lock("order:\n1002")
    assert completed("tickglass unlock ", known.url) == ["order:1001"]
