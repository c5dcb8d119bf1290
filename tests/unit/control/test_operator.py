"""Acts on a store: what each makes stand, what is refused, and what the log says."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from kit.rig import BreakableStore

from tickglass import AsyncControl, ConfigError, Control, ControlRefused, StoreUnavailable
from tickglass.sched.control.audit import act_text
from tickglass.sched.control.operator import Operator
from tickglass.sched.control.order_book import ORDERS_MAX
from tickglass.sched.durations import SECOND
from tickglass.sched.ports import (
    ClaimAsk,
    Claimed,
    ControlRecord,
    Granted,
    InstanceRecord,
    InstanceState,
    JobRecord,
    LeaseAsk,
)
from tickglass.sched.triggers import every
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MINUTE = 60 * SECOND


class Desk:
    """A store with a fleet of two services, and someone who acts on it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = BreakableStore(self.clock)
        self.control = Control(self.store, by="anna")
        self.now_ns = self.clock.wall_ns()
        jobs = [("billing", "nightly"), ("billing", "sync"), ("mail", "sync")]
        self.store.register([self.record(*job) for job in jobs])
        self.instance("billing", "host-1", "nightly", "sync")

    def record(self, service: str, name: str, trigger: str = str(every("60s"))) -> JobRecord:
        return JobRecord(name, trigger, f"{service}/{name}", "host-1", service, MINUTE, SECOND, None, None)

    def instance(self, service: str, owner: str, *jobs: str) -> None:
        who = InstanceRecord(service, owner, f"{service}-{owner}", "1.0", "+".join(jobs), InstanceState.RUNNING)
        self.store.join(who, jobs)

    def claim(self, name: str = "nightly", run_id: str = "run-1", ttl_ns: int = MINUTE) -> int:
        lease = LeaseAsk(f"billing/{name}", "host-1", "billing", f"token-{run_id}", ttl_ns, job=name, run_id=run_id)
        claimed = self.store.claim(ClaimAsk(lease, due_ns=self.now_ns))
        assert isinstance(claimed, Claimed)
        return claimed.fence

    @property
    def stands(self) -> list[str]:
        return [type(order).__name__ for order in self.control.standing()]


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.control.close()


# --- pause and resume


def test_a_pause_stands_until_it_is_resumed(desk: Desk) -> None:
    act = desk.control.pause("nightly", reason="the disk is full")
    assert (act.version, act.at_ns, act.changed) == (1, desk.now_ns, True)
    assert act_text(act.entry) == "anna paused nightly of billing"
    assert desk.stands == ["Pause"]
    assert desk.control.resume("nightly", reason="it is not").changed
    assert desk.stands == []
    assert [it.entry.act for it in desk.control.log()] == ["resume", "pause"]


def test_a_pause_ends_by_itself(desk: Desk) -> None:
    act = desk.control.pause("nightly", reason="a while", for_="10s")
    assert act.entry.until_ns == desk.now_ns + 10 * SECOND
    desk.clock.advance(10 * SECOND)
    assert desk.stands == []


def test_what_stands_already_is_not_done_again(desk: Desk) -> None:
    first = desk.control.pause("*", reason="all")
    again = desk.control.pause("*", reason="all")
    assert (again.version, again.entry, again.changed) == (first.version, first.entry, False)
    assert len(desk.control.log()) == 1
    desk.control.resume("*", reason="r")
    assert not Control(desk.store, by="bob").resume("nightly", reason="none").changed


def test_another_end_replaces_the_pause_of_the_same_jobs(desk: Desk) -> None:
    desk.control.pause("nightly", reason="r", for_="10s")
    desk.control.pause("nightly", reason="r", until=datetime(2100, 1, 1, tzinfo=UTC))
    assert desk.stands == ["Pause"]
    assert act_text(desk.control.log(1)[0].entry) == "anna paused nightly of billing until 2100-01-01 00:00:00Z"


def test_a_job_that_is_paused_with_others_is_not_resumed_alone(desk: Desk) -> None:
    desk.control.pause("*", service="billing", reason="all of it")
    with pytest.raises(ControlRefused, match="paused together with other jobs, by anna"):
        desk.control.resume("nightly", service="billing", reason="r")
    assert desk.control.resume("*", reason="r").changed


def test_a_resume_takes_back_skips_that_are_still_to_come(desk: Desk) -> None:
    desk.control.skip("nightly", reason="r")
    desk.control.resume("night*", reason="r")
    assert desk.stands == []


@pytest.mark.parametrize(
    ("do", "says"),
    [
        (lambda it: it.pause("nihgtly", reason="r"), "there is no job nihgtly (nightly?)"),
        (lambda it: it.pause("nightly", service="mail", reason="r"), "mail has no job nightly (billing?)"),
        (lambda it: it.pause("sync", reason="r"), "billing and mail each have a job sync"),
        (lambda it: it.pause("x*", reason="r"), "there is no job x*"),
        (lambda it: it.resume("nihgtly", reason="r"), "there is no job nihgtly (nightly?)"),
        (
            lambda it: it.pause("*", reason="r", until=datetime(2000, 1, 1, tzinfo=UTC)),
            "2000-01-01 00:00:00+00:00 has passed",
        ),
        (lambda it: it.skip("nightly", reason="r", at=datetime(2000, 1, 1, tzinfo=UTC)), "has passed"),
        (
            lambda it: it.skip("nightly", reason="r", at=datetime(2100, 1, 1, 0, 0, 7, tzinfo=UTC)),
            "is not due at 2100-01-01 00:00:07+00:00",
        ),
        (lambda it: it.trigger("sync", service="mail", reason="r"), "no living instance has sync of mail"),
        (lambda it: it.trigger("sync", service="post", reason="r"), "post has no job sync (billing or mail?)"),
        (lambda it: it.cancel("nightly", reason="r"), "nightly of billing is not running"),
        (lambda it: it.unlock("billing/nightly", fence=1, reason="r"), "billing/nightly is not locked"),
        (lambda it: it.drain("host-2", reason="r"), "no instance host-2 lives (host-1?)"),
        (lambda it: it.drain("host-1", service="mail", reason="r"), "no instance host-1 of mail lives"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_sentence_and_not_logged(
    desk: Desk, do: Callable[[Control], object], says: str
) -> None:
    with pytest.raises(ControlRefused) as refused:
        do(desk.control)
    assert says in str(refused.value)
    assert (desk.control.log(), desk.stands) == ([], [])


def test_what_is_written_wrong_is_an_error_of_the_caller(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="say why"):
        desk.control.pause("nightly", reason=" ")
    with pytest.raises(ConfigError, match="not as both"):
        desk.control.pause("nightly", reason="r", for_="1s", until=datetime(2100, 1, 1, tzinfo=UTC))


# --- one instant, one run


def test_the_next_instant_is_skipped_once(desk: Desk) -> None:
    act = desk.control.skip("nightly", reason="r")
    assert act.entry.due_ns == desk.now_ns + MINUTE
    assert not desk.control.skip("nightly", reason="r").changed
    desk.clock.advance(MINUTE + 1)
    assert desk.control.skip("nightly", reason="r").changed, "another one is the next by now"


def test_the_next_instant_of_a_trigger_that_only_the_program_knows_comes_from_its_record(desk: Desk) -> None:
    record = desk.record("billing", "own", "MyTrigger()")
    desk.store.register([record])
    with pytest.raises(ControlRefused, match="name the instant"):
        desk.control.skip("own", reason="r")
    at = datetime(2100, 1, 1, tzinfo=UTC)
    assert desk.control.skip("own", reason="r", at=at).changed


def test_a_run_that_is_asked_for_is_one_each_time(desk: Desk) -> None:
    first, second = (desk.control.trigger("nightly", reason="r", within="5s") for _ in range(2))
    assert (first.version, second.version) == (1, 2)
    assert desk.stands == ["RunNow", "RunNow"]
    desk.clock.advance(5 * SECOND)
    assert desk.stands == []


def test_the_run_in_progress_is_cancelled_and_a_second_time_says_so(desk: Desk) -> None:
    desk.claim()
    act = desk.control.cancel("nightly", reason="r")
    assert (act.entry.target, act.entry.due_ns) == ("run-1", desk.now_ns)
    assert not desk.control.cancel("nightly", reason="r", run_id="run").changed


def test_a_run_whose_instance_died_is_not_cancelled(desk: Desk) -> None:
    desk.claim(ttl_ns=SECOND)
    desk.clock.advance(2 * SECOND)
    with pytest.raises(ControlRefused, match="is not running"):
        desk.control.cancel("nightly", reason="r")


# --- locks and instances


def test_a_lock_is_taken_from_the_holder_that_was_seen_and_its_run_is_settled(desk: Desk) -> None:
    fence = desk.claim()
    with pytest.raises(ControlRefused, match=f"is held under fence {fence} by host-1, not under 1"):
        desk.control.unlock("billing/nightly", fence=1, reason="r")
    assert act_text(desk.control.unlock("billing/nightly", fence=fence, reason="stuck").entry) == (
        f"anna unlocked billing/nightly, held under fence {fence}"
    )
    (run,) = desk.store.runs()
    assert (run.outcome, run.detail) == ("orphaned", "unlocked by anna: stuck")
    assert desk.store.leases() == []


def test_a_lock_that_was_given_back_just_now_is_said_to_be_free(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = LeaseAsk("printer", "host-1", "billing", "t", MINUTE)
    granted = desk.store.acquire(ask)
    assert isinstance(granted, Granted)
    write = desk.store.write_control

    def gives_it_back(record: ControlRecord, entry: str) -> bool:
        desk.store.release(ask.untrusted(granted.fence))
        return write(record, entry)

    monkeypatch.setattr(desk.store, "write_control", gives_it_back)
    with pytest.raises(ControlRefused, match="has just ended by itself"):
        desk.control.unlock("printer", fence=granted.fence, reason="r")


def test_an_instance_is_drained_until_it_is_not(desk: Desk) -> None:
    assert desk.control.drain("host-1", reason="r").changed
    assert not desk.control.drain("host-1", reason="r").changed
    assert desk.control.drain("host-1", reason="r", for_="1h").changed
    assert desk.stands == ["Drain"]
    assert desk.control.undrain("host-1", reason="r").changed
    assert not desk.control.undrain("host-1", reason="r").changed


def test_an_owner_of_two_services_is_asked_which(desk: Desk) -> None:
    desk.instance("mail", "host-1", "sync")
    with pytest.raises(ControlRefused, match="host-1 is an instance of billing and mail"):
        desk.control.drain("host-1", reason="r")
    assert desk.control.drain("host-1", service="mail", reason="r").changed


# --- several operators, and a store that is away


def test_of_operators_who_act_at_once_none_is_lost(desk: Desk) -> None:
    def act(by: str) -> None:
        operator = Operator(desk.store, by)
        for number in range(20):
            operator.pause("nightly", "billing", f"{by} {number}", None)

    threads = [threading.Thread(target=act, args=(by,)) for by in ("bob", "eve", "joe")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = desk.control.log()
    assert [it.version for it in log] == list(range(60, 0, -1))
    assert len({it.entry.reason for it in log}) == 60
    assert desk.stands == ["Pause"]


def test_an_answer_that_is_lost_is_asked_for_again_and_the_act_is_done_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = desk.store.write_control
    lost = [True]

    def loses_an_answer(record: ControlRecord, entry: str) -> bool:
        written = write(record, entry)
        if lost.pop() if lost else False:
            raise StoreUnavailable("memory", "write_control", "no answer")
        return written

    monkeypatch.setattr(desk.store, "write_control", loses_an_answer)
    assert desk.control.pause("nightly", reason="r").version == 1
    assert len(desk.control.log()) == 1


def test_so_many_orders_stand_and_no_more(desk: Desk) -> None:
    for _ in range(ORDERS_MAX):
        desk.control.trigger("nightly", reason="r", within="1h")
    with pytest.raises(ControlRefused, match="1000 orders stand already"):
        desk.control.trigger("nightly", reason="r")


def test_coroutines_act_on_threads(desk: Desk) -> None:
    control = AsyncControl(desk.control)

    async def act() -> None:
        assert (await control.pause("nightly", reason="r", for_="1h")).version == 1
        assert len(await control.standing()) == 1
        assert [it.version for it in await control.log()] == [1]

    asyncio.run(act())
