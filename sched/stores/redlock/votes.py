"""Count votes: what several servers answered, as one answer.

Pure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tickglass.sched.durations import MS
from tickglass.sched.ports import AlreadyClaimed, Beat, Gone, Holder, Refused
from tickglass.sched.registration import Registered
from tickglass.sched.stores.redis.scripts import too_early

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tickglass.sched.identity import JobId
    from tickglass.sched.ports import Ahead, InstanceRecord, JobRecord, LeaseRecord, RunRecord

__all__ = [
    "Verdict",
    "beat_of",
    "expired_owner_of",
    "gone_of",
    "judge",
    "merged_instances",
    "merged_jobs",
    "merged_leases",
    "merged_registration",
    "merged_runs",
    "whole_pages",
]

# A client that got its lease this recently may be about to give it back, because it has no majority.
_UNSETTLED_NS: Final = 100 * MS


class Verdict(NamedTuple):
    """The result of a vote.

    Args:
        answer: None: a majority voted for this client.
        split: no client has a majority, and asking again soon may change that.
    """

    answer: AlreadyClaimed | Refused | Ahead | None
    split: bool = False


def judge(replies: Sequence[Sequence[Any]], needed: int, size: int) -> Verdict:
    """Judge the answers of ACQUIRE or CLAIM.

    One server's settled outcome is enough, because outcomes are never invented; but not if a majority has granted a
    later attempt: then the outcome arrived too late to be recorded. An unsettled claim, like a holder, needs a
    majority. A claim comes too early if there is no majority without the servers that say so: one wrong clock among
    theirs does not decide it.
    """
    ours = [it for it in replies if it[0] in ("granted", "claimed")]
    already = [it for it in replies if it[0] == "already"]
    for reply in already:
        overtaken = sum(int(it[3]) > int(reply[8]) + 1 for it in ours if it[0] == "claimed") >= needed
        if reply[2] and not overtaken:
            return Verdict(AlreadyClaimed(reply[1], reply[2]))
    if len(ours) >= needed:
        return Verdict(None)
    others: dict[str, list[Refused]] = defaultdict(list)
    young = False
    for reply in replies:
        if reply[0] in ("refused", "already"):
            voter, refused, is_young = _opponent(reply)
            others[voter].append(refused)
            young |= is_young
    runs = Counter(reply[3] for reply in already)
    if runs:
        run_id, count = runs.most_common(1)[0]
        if count >= needed:
            return Verdict(next(AlreadyClaimed(it[1], None) for it in already if it[3] == run_id))
    ahead = [too_early(reply) for reply in replies if reply[0] == "ahead"]
    if ahead and (len(ahead) > size - needed or not others):
        return Verdict(min(ahead, key=lambda it: it.early_ns))
    winner = max(others.values(), key=lambda votes: (len(votes), votes[0].holder.fence))
    rests = sorted(it.retry_after_ns for votes in others.values() for it in votes)
    # This many of the other leases must end before there can be a majority for this client.
    in_the_way = needed - len(ours) - (size - len(replies))
    rest_ns = rests[min(max(in_the_way, 1), len(rests)) - 1]
    holder = max((it.holder for it in winner), key=lambda it: it.fence)
    return Verdict(Refused(holder, max(1, rest_ns)), split=len(winner) < needed and (young or not rests))


def _opponent(reply: Sequence[Any]) -> tuple[str, Refused, bool]:
    """Return the voter that has this server's vote, its refusal, and whether it got the vote only recently."""
    if reply[0] == "refused":
        _, owner, service, job, run_id, fence, rest_us, ttl_ns, token = reply
        rest_ns = min(int(rest_us) * 1_000, int(ttl_ns))
        return (
            token,
            Refused(Holder(owner, service, job, run_id, int(fence)), rest_ns),
            (int(ttl_ns) - rest_ns < _UNSETTLED_NS),
        )
    _, owner, _, run_id, service, fence, rest_us, age_us, _ = reply
    refused = Refused(Holder(owner, service, "", run_id, int(fence)), int(rest_us) * 1_000)
    return run_id, refused, int(age_us) * 1_000 < _UNSETTLED_NS


def expired_owner_of(replies: Iterable[Sequence[Any]], needed: int) -> str:
    """Return the owner whose lease had ended, as a majority reports it; "" if no majority agrees."""
    owner, count = Counter(str(it[2]) for it in replies).most_common(1)[0]
    return owner if count >= needed else ""


def gone_of(replies: Iterable[Sequence[Any]], needed: int) -> Gone:
    """Return the answer for a lost lease, with its new owner if a majority names one."""
    owners = Counter(it[1] for it in replies if it[0] == "gone")
    owner, count = owners.most_common(1)[0] if owners else ("", 0)
    return Gone(owner if count >= needed else "")


def beat_of(answers: Sequence[Beat], needed: int) -> Beat:
    """Return what a majority had of an instance; `PARTLY` while one of the servers that answer has less than all."""
    if answers.count(Beat.FORGOTTEN) >= needed:
        return Beat.FORGOTTEN
    return Beat.KNOWN if all(answer is Beat.KNOWN for answer in answers) else Beat.PARTLY


# --- for observers: all that may have a majority, counting the servers that did not answer


def merged_leases(views: Sequence[Sequence[LeaseRecord]], needed: int, size: int) -> list[LeaseRecord]:
    """Return the leases that a majority has, or may have; each ends when its majority does."""
    found: dict[tuple[str, str, str], list[LeaseRecord]] = defaultdict(list)
    for view in views:
        for lease in view:
            found[lease.resource, lease.owner, lease.run_id].append(lease)
    absent = size - len(views)
    shown = []
    for votes in found.values():
        if len(votes) + absent >= needed:
            newest = max(votes, key=lambda it: it.fence)
            rests = sorted((it.remaining_ns for it in votes), reverse=True)
            rest_ns = rests[min(needed, len(rests)) - 1]
            shown.append(replace(newest, remaining_ns=rest_ns, held_ns=max(it.held_ns for it in votes)))
    # Of several leases on one resource, the one with the greatest fence is the present one.
    newest_first = sorted(shown, key=lambda it: (it.resource, -it.fence))
    return [it for at, it in enumerate(newest_first) if at == 0 or newest_first[at - 1].resource != it.resource]


def whole_pages(views: Sequence[Sequence[LeaseRecord]], limit: int | None) -> list[list[LeaseRecord]]:
    """Cut these pages, of `limit` leases each, where the shortest ends: beyond it some servers were not read."""
    lasts = [view[-1].resource.encode() for view in views if limit and len(view) == limit]
    return [[it for it in view if not lasts or it.resource.encode() <= min(lasts)] for view in views]


def merged_instances(views: Sequence[Sequence[InstanceRecord]]) -> list[InstanceRecord]:
    """Return all instances, by service, owner and incarnation; each as the server has it that was told last."""
    latest: dict[str, InstanceRecord] = {}
    for view in views:
        for it in view:
            known = latest.get(it.incarnation)
            if known is None or it.silent_ns < known.silent_ns:
                latest[it.incarnation] = it
    return sorted(latest.values(), key=lambda it: (it.service, it.owner, it.incarnation))


def merged_jobs(views: Sequence[Sequence[JobRecord]]) -> list[JobRecord]:
    """Return all jobs, by service and name; each as it was written last."""
    found: dict[JobId, list[JobRecord]] = defaultdict(list)
    for view in views:
        for job in view:
            found[job.job_id].append(job)
    return [_merged_job(rows) for _, rows in sorted(found.items())]


def merged_registration(rows: Sequence[Registered]) -> Registered:
    """Return what a registration did on several servers."""
    before = [it.before for it in rows if it.before is not None]
    return Registered(_merged_job([it.job for it in rows]), _merged_job(before) if before else None)


def _merged_job(rows: Sequence[JobRecord]) -> JobRecord:
    """Return one job of several servers."""
    newest = max(rows, key=lambda it: it.seen_wall_ns)
    return replace(newest, last_due_ns=max((it.last_due_ns for it in rows if it.last_due_ns is not None), default=None))


def merged_runs(views: Sequence[Sequence[RunRecord]], needed: int, size: int) -> list[RunRecord]:
    """Return the attempts that are settled, or that a majority has, or may have; newest due instant first.

    A claim that only a minority granted may be settled there as skipped, by an instance that did not hear of the
    vote. It is left out if a majority has the same attempt of another run: that one won.
    """
    absent = size - len(views)
    found: dict[tuple[JobId, int, str], list[RunRecord]] = defaultdict(list)
    for view in views:
        for run in view:
            found[run.job_id, run.due_ns, run.run_id].append(run)
    won = {(job, due_ns, votes[0].attempt): run for (job, due_ns, run), votes in found.items() if len(votes) >= needed}
    shown = []
    for (job, due_ns, run_id), votes in found.items():
        latest = max(votes, key=lambda it: it.attempt)
        if latest.outcome == "skipped" and won.get((job, due_ns, latest.attempt), run_id) != run_id:
            continue
        settled = [it for it in votes if it.outcome is not None]
        if settled or len(votes) + absent >= needed:
            shown.append(max(settled or votes, key=lambda it: (it.outcome != "orphaned", it.attempt, it.fence)))
    return sorted(shown, key=lambda it: (it.due_ns, it.job_id, it.attempt), reverse=True)
