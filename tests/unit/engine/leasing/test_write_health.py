"""Whether a store takes writes is judged by writes: since when it does not, and how the last one failed."""

from __future__ import annotations

from tickglass.sched.clock import Reading
from tickglass.sched.durations import SECOND
from tickglass.sched.engine.leasing.write_health import WriteHealth

LONG_NS = 3_600 * SECOND


def at(second: int) -> Reading:
    return Reading(second * SECOND, second * SECOND)


def write_health() -> WriteHealth:
    return WriteHealth("redis", 0)


def told(write_health: WriteHealth, second: int) -> str | None:
    return write_health.reason(second * SECOND, LONG_NS)


def test_the_sentence_has_the_store_the_first_failure_and_the_last_error() -> None:
    store = write_health()
    store.failed("claim", "OOM command\nnot allowed", "error", at(60))
    store.failed("settle", "no route", "unavailable", at(70))
    store.failed("claim", "x" * 1_000, "error", at(80))
    assert told(store, 90) == (
        "the redis store has not taken our writes since 1970-01-01 00:01:00 UTC; last error, of claim: " + "x" * 300
    )


def test_an_operation_that_works_counts_no_more_and_the_others_do() -> None:
    store = write_health()
    store.failed("claim", "full", "error", at(1))
    store.failed("settle", "full", "error", at(2))
    store.answered("settle", 3 * SECOND)
    assert (told(store, 3) or "").endswith("of claim: full")
    store.answered("claim", 4 * SECOND)
    assert told(store, 4) is None


def test_a_grant_shows_that_a_store_that_was_away_is_there_again() -> None:
    store = write_health()
    store.failed("settle", "no route", "unavailable", at(1))
    store.proved(2 * SECOND)
    assert told(store, 2) is None


def test_an_error_of_one_operation_outlasts_the_grants_of_others_for_ten_seconds() -> None:
    store = write_health()
    store.failed("claim", "WRONGTYPE", "error", at(1))
    store.proved(10 * SECOND)
    assert store.fails
    store.proved(11 * SECOND)
    assert not store.fails


def test_silence_is_a_reason_when_it_lasts_too_long() -> None:
    store = write_health()
    store.answered("renew", 2 * SECOND)
    assert store.reason(12 * SECOND, 10 * SECOND) is None
    assert store.reason(13 * SECOND, 10 * SECOND) == "the redis store has not answered a write for 11.0 s"
