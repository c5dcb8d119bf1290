"""What operators asked for, as the page shows it beside a job or an instance."""

from __future__ import annotations

from kit.view_samples import NOW_NS, job_of

from tickglass.sched.durations import SECOND
from tickglass.telemetry.sidecar.explain.standing import (
    drain_of,
    order_words,
    pause_of,
    runs_and_cancels_of,
    skips_of,
)
from tickglass.telemetry.sidecar.view import InstanceView, OrderView, View


def order(kind: str, number: int = 1, **about: object) -> OrderView:
    told = {"source": "s", "by": "anna", "reason": "why not", "since_wall_ns": NOW_NS}
    return OrderView(kind=kind, number=number, **(told | about))  # type: ignore[arg-type] # a view's fields


JOB = job_of("nightly", "5s", [], service="billing")


def seen(*orders: OrderView) -> View:
    return View(at_wall_ns=NOW_NS, jobs=[JOB], orders=list(orders))


def test_a_job_is_under_the_oldest_pause_that_means_it() -> None:
    other = order("pause", 1, service="mail", job="nightly")
    wide, own = order("pause", 2, service="*", job="night*"), order("pause", 3, service="billing", job="nightly")
    assert pause_of(seen(other), JOB) is None
    assert pause_of(seen(other, own), JOB) == own
    assert pause_of(seen(other, wide, own), JOB) == wide


def test_skips_runs_and_cancels_are_of_one_job() -> None:
    mine = [order(kind, service="billing", job="nightly") for kind in ("skip", "run", "cancel", "pause")]
    others = [order(kind, service="mail", job="nightly") for kind in ("skip", "run", "cancel")]
    assert skips_of(seen(*mine, *others), JOB) == mine[:1]
    assert runs_and_cancels_of(seen(*mine, *others), JOB) == mine[1:3]


def test_a_drain_is_of_one_instance_of_one_store() -> None:
    instance = InstanceView(source="s", service="billing", owner="host-1", incarnation="1", state="running")
    mine = order("drain", service="billing", owner="host-1")
    others = [
        order("drain", source="t", service="billing", owner="host-1"),
        order("drain", service="m", owner="host-1"),
    ]
    assert drain_of(seen(*others), instance) is None
    assert drain_of(seen(*others, mine), instance) == mine


def test_what_stands_is_said_with_who_until_when_and_why() -> None:
    until = {"until_wall_ns": NOW_NS + 3_600 * SECOND}
    said = {
        "paused by anna: why not": order("pause"),
        "asked to run now by anna: why not": order("run", **until),
        "the run 01234567 was asked to stop by anna: why not": order("cancel", run_id="0123456789", **until),
        "drained by anna: why not": order("drain"),
        "revised by anna: why not": order("revised"),
    }
    assert [order_words(it, NOW_NS) for it in said.values()] == list(said)
    assert order_words(order("pause", **until), NOW_NS).startswith("paused until ")
    assert " is skipped by anna: why not" in order_words(order("skip", due_ns=NOW_NS), NOW_NS)
