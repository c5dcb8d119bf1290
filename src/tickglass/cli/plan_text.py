"""Decide how a plan is shown to people and to programs.

Pure, except for the machine's time zone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tickglass.cli.text import instant_text, shown, span_text
from tickglass.plan import ChangeKind
from tickglass.sched.clock import instant_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tickglass.plan import Instants, InstantsChange, JobChange, Moves, Overlap, Plan

__all__ = ["plan_json", "plan_lines"]

_SIGNS: Final[Mapping[ChangeKind, str]] = {
    ChangeKind.ADDED: "+",
    ChangeKind.CHANGED: "~",
    ChangeKind.REMOVED: "-",
    ChangeKind.RETIRED: "?",
}
_UNRECORDED: Final = (
    "! living instances declare some job otherwise, in what the store does not record: renew, rerun_orphaned, "
    "on_outage, on_timeout or prefer"
)


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield the lines for people; unchanged jobs are counted alone."""
    counts = ", ".join(f"{plan.counts[kind]} {kind}" for kind in ChangeKind if plan.counts[kind])
    span = f"due instants from {instant_text(plan.from_ns)} to {instant_text(plan.until_ns)}"
    yield f"{shown(plan.service)}: {counts or 'no jobs'}; {span}"
    for change in plan.changes:
        if change.kind is not ChangeKind.UNCHANGED:
            yield from _change_lines(change)
            if change.job.name in plan.instants:
                yield from (f"    {line}" for line in _instants_lines(plan.instants[change.job.name]))
    yield from map(_overlap_line, plan.overlaps)
    if plan.unrecorded:
        yield _UNRECORDED
    if not plan.differs:
        yield "no difference"


def _change_lines(change: JobChange) -> Iterator[str]:
    name, after = shown(change.job.name), change.after
    head = f"{_SIGNS[change.kind]} {name} {change.kind}"
    if change.kind is ChangeKind.ADDED and after is not None:
        yield f"{head}: {shown(str(after.trigger))}"
    elif change.kind is ChangeKind.REMOVED:
        yield f"{head}: no code declares it; it still runs on {shown(', '.join(change.owners))}"
    elif change.kind is ChangeKind.RETIRED:
        yield f"{head}: no code declares it and no living instance has it; `tickglass forget` removes it"
    else:
        yield head
    for field in change.fields:
        yield f"    {field.field}: {shown(field.before)} -> {shown(field.after)}"


def _instants_lines(change: InstantsChange | None) -> Iterator[str]:
    if change is None:
        yield "its due instants are not known, because the trigger in the store is not a cron, every or at"
        return
    for what, instants in (("added", change.added), ("removed", change.removed)):
        if instants.count:
            yield f"{_counted(instants)} {what}: {_listed(instants)}"
    if change.moved.count:
        yield f"{_counted(change.moved)} moved: {_moves(change.moved)}"


def _counted(found: Instants | Moves | Overlap) -> str:
    least = "" if found.exact else "at least "
    return f"{least}{found.count:,} instant{'' if found.count == 1 else 's'}"


def _listed(instants: Instants) -> str:
    told = list(map(instant_text, instants.first))
    if instants.last is not None and instants.last not in instants.first:
        told.append(("... " if instants.count > len(told) + 1 else "") + instant_text(instants.last))
    return ", ".join(told)


def _moves(moves: Moves) -> str:
    told = list(map(_move, moves.first))
    if moves.last is not None and moves.last not in moves.first:
        told.append(("... " if moves.count > len(told) + 1 else "") + _move(moves.last))
    return ", ".join(told)


def _move(move: tuple[int, int]) -> str:
    before_ns, after_ns = move
    sign = "+" if after_ns > before_ns else "-"
    return f"{instant_text(before_ns)} by {sign}{span_text(abs(after_ns - before_ns))}"


def _overlap_line(overlap: Overlap) -> str:
    one, other = (shown(str(job)) for job in overlap.jobs)
    first = ", ".join(map(instant_text, overlap.first))
    more = ", ..." if overlap.count > len(overlap.first) else ""
    return f"! {one} and {other} will be due together on {shown(overlap.resource)}: {_counted(overlap)}: {first}{more}"


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return the plan for programs: every instant as ISO 8601, in UTC."""
    return {
        "service": plan.service,
        "from_at": _iso(plan.from_ns),
        "until_at": _iso(plan.until_ns),
        "differs": plan.differs,
        "unrecorded": plan.unrecorded,
        "counts": {str(kind): plan.counts[kind] for kind in ChangeKind},
        "jobs": [_change_json(change, plan) for change in plan.changes],
        "overlaps": [
            {
                "resource": overlap.resource,
                "jobs": list(map(str, overlap.jobs)),
                "count": overlap.count,
                "exact": overlap.exact,
                "first": list(map(_iso, overlap.first)),
            }
            for overlap in plan.overlaps
        ],
    }


def _change_json(change: JobChange, plan: Plan) -> dict[str, Any]:
    told: dict[str, Any] = {
        "job": change.job.name,
        "change": str(change.kind),
        "trigger": str(change.after.trigger) if change.after is not None else getattr(change.before, "trigger", None),
        "fields": {it.field: {"before": it.before, "after": it.after} for it in change.fields},
        "owners": list(change.owners),
    }
    if change.job.name in plan.instants:
        instants = plan.instants[change.job.name]
        told["instants"] = None if instants is None else _instants_json(instants)
    return told


def _instants_json(change: InstantsChange) -> dict[str, Any]:
    moved = change.moved
    return {
        "added": _found_json(change.added),
        "removed": _found_json(change.removed),
        "moved": {
            "count": moved.count,
            "exact": moved.exact,
            "first": [list(map(_iso, move)) for move in moved.first],
            "last": None if moved.last is None else list(map(_iso, moved.last)),
        },
    }


def _found_json(instants: Instants) -> dict[str, Any]:
    last = None if instants.last is None else _iso(instants.last)
    return {
        "count": instants.count,
        "exact": instants.exact,
        "first": list(map(_iso, instants.first)),
        "last": last,
    }


def _iso(wall_ns: int) -> str:
    return instant_of(wall_ns).isoformat(timespec="microseconds")
