"""Find what operators asked for of a job or an instance, and say it in a sentence.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.sched.control.orders import fits
from tickglass.telemetry.sidecar.explain.why import clock_text

if TYPE_CHECKING:
    from tickglass.telemetry.sidecar.view import InstanceView, JobView, OrderView, View

__all__ = ["drain_of", "order_words", "pause_of", "runs_and_cancels_of", "skips_of"]


def pause_of(view: View, job: JobView) -> OrderView | None:
    """Return the pause that a job is under: the oldest, if there are several."""
    pauses = (it for it in view.orders if it.kind == "pause")
    return next((it for it in pauses if fits(job.service, it.service) and fits(job.name, it.job)), None)


def skips_of(view: View, job: JobView) -> list[OrderView]:
    """Return the instants of a job that are to be skipped."""
    return [it for it in view.orders if it.kind == "skip" and (it.service, it.job) == (job.service, job.name)]


def runs_and_cancels_of(view: View, job: JobView) -> list[OrderView]:
    """Return the runs of a job that were asked for, and those that are asked to stop."""
    mine = [it for it in view.orders if (it.service, it.job) == (job.service, job.name)]
    return [it for it in mine if it.kind in ("run", "cancel")]


def drain_of(view: View, instance: InstanceView) -> OrderView | None:
    """Return the drain that an instance is under."""
    about = instance.source, instance.service, instance.owner
    return next((it for it in view.orders if it.kind == "drain" and (it.source, it.service, it.owner) == about), None)


def order_words(order: OrderView, now_ns: int) -> str:
    """Return what stands, until when, who asked for it and why: `paused until 16:00:00Z by anna: the disk is full`."""
    until = "" if order.until_wall_ns is None else f" until {clock_text(order.until_wall_ns, now_ns)}"
    due = "" if order.due_ns is None else clock_text(order.due_ns, now_ns)
    what = {
        "pause": f"paused{until}",
        "skip": f"{due} is skipped",
        "run": "asked to run now",
        "cancel": f"the run {order.run_id[:8]} was asked to stop",
        "drain": f"drained{until}",
    }
    return f"{what.get(order.kind, order.kind)} by {order.by}: {order.reason}"
