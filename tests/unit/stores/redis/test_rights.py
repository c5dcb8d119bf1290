"""A right that a Redis user lacks is an error at the start, and no script is ever broken off half-way."""

from __future__ import annotations

import dataclasses
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
import redis
from kit.asks import ASK, lease_of
from kit.servers import PATIENCE_S
from msgspec.structs import replace

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import (
    ClaimAsk,
    Claimed,
    JobRecord,
    LeaseAsk,
    Released,
    Renewed,
    Settled,
    Settlement,
)
from tickglass.sched.stores import open_store
from tickglass.sched.stores.redis import scripts as lua

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kit.servers import RedisServer

    from tickglass.sched.ports import Store

LINE = "~{tickglass}* &{tickglass}:* +@scripting +@read +@write +@connection +@pubsub +time"
CLAIM = ClaimAsk(LeaseAsk("nightly", "n1", "billing", "token 1", 30 * SECOND, "nightly", "run 1"), due_ns=1)
JOB = JobRecord("nightly", "every 1s", "nightly", "n1", "billing", 30 * SECOND, SECOND, None, 1)


@pytest.fixture
def server(own_redis: Callable[..., RedisServer]) -> RedisServer:
    return own_redis()


@pytest.fixture
def as_user(server: RedisServer) -> Iterator[Callable[..., Store]]:
    """Return a function that opens the store as a user with these rights."""
    stores = []

    def open_as(rights: str) -> Store:
        server.say("ACL", "SETUSER", "app", "reset", "on", ">secret", *rights.split())
        stores.append(open_store(f"redis://app:secret@127.0.0.1:{server.port}/0", SystemClock()))
        return stores[-1]

    yield open_as
    for store in stores:
        store.close()


def problem_of(call: Callable[..., object], *args: object) -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as caught:
        call(*args)
    return caught.value


def contents(server: RedisServer) -> dict[bytes, Any]:
    """Return all that the server holds, but for how long leases still last."""
    with redis.Redis(port=server.port, protocol=2) as client:
        return {key: client.dump(key) for key in client.keys("*")}


def settlement_of(answer: object) -> Settlement:
    return Settlement(lease_of(CLAIM.lease, answer), "billing", "nightly", 1, "run 1", "success")


# --- at the start


def test_a_user_without_channels_is_told_at_the_start_what_is_missing(
    server: RedisServer, as_user: Callable[..., Store]
) -> None:
    store = as_user("~* +@all")  # resetchannels, as since Redis 7
    for call, ask in ((store.register, [JOB]), (store.acquire, ASK), (store.claim, CLAIM)):
        problem = problem_of(call, ask)
        assert problem.kind == "error"
        assert (
            "the user app may not PUBLISH on {tickglass}:freed:0:NAME, SUBSCRIBE on {tickglass}:freed:0:NAME"
            in problem.detail
        )
        assert f"ACL SETUSER app {LINE}" in problem.detail
    assert server.say("DBSIZE") == 0


def test_the_line_that_is_told_gives_what_is_missing(server: RedisServer, as_user: Callable[..., Store]) -> None:
    store = as_user("-@all")
    problem = problem_of(store.register, [JOB])
    (line,) = re.findall(r"(ACL SETUSER .*)$", str(problem))
    server.say(*line.split())
    store.register([JOB])
    assert store.settle(settlement_of(store.claim(CLAIM))) == Settled(recorded=True, released=True)
    assert store.time_ns() > 0


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        ("-publish", "PUBLISH on {tickglass}:freed:0:NAME, PUBLISH on {tickglass}:claimed:0:billing:0"),
        ("-subscribe", "SUBSCRIBE on {tickglass}:freed:0:NAME, SUBSCRIBE on {tickglass}:claimed:0:billing:0"),
        ("-zadd", "ZADD on {tickglass}:leases, ZADD on {tickglass}:jobs, ZADD on {tickglass}:ledgers and 4 more"),
        ("-evalsha", "'evalsha'"),
        ("-time", "can't run this command"),
        ("resetkeys ~{tickglass} ~{tickglass}:lock:* ~{tickglass}:lease:*", "GET on {tickglass}:layout, "),
        (
            "resetkeys ~{tickglass} %R~{tickglass}:*",
            "SET on {tickglass}:layout, HSET on {tickglass}:fence, SET on {tickglass}:fences",
        ),
        ("resetchannels &{tickglass}:freed:*", "PUBLISH on {tickglass}:claimed:0:billing:0"),
    ],
)
def test_every_right_that_is_missing_is_told_before_anything_is_written(
    server: RedisServer, as_user: Callable[..., Store], taken: str, told: str
) -> None:
    problem = problem_of(as_user(f"{LINE} {taken}").register, [JOB])
    assert problem.kind == "error"
    assert told in problem.detail
    assert "this gives a user what a store needs: ACL SETUSER app ~{tickglass}*" in problem.detail
    assert server.say("DBSIZE") == 0


def test_a_user_may_have_the_channels_of_its_own_service_only(as_user: Callable[..., Store]) -> None:
    narrow = LINE.replace("&{tickglass}:*", "&{tickglass}:freed:* &{tickglass}:claimed:0:billing:*")
    store = as_user(narrow)
    store.register([JOB])
    assert isinstance(store.claim(CLAIM), Claimed)


def test_an_observer_needs_no_right_but_to_read(server: RedisServer, as_user: Callable[..., Store]) -> None:
    with_all = open_store(server.url, SystemClock())
    with_all.register([JOB])
    with_all.claim(CLAIM)
    with_all.close()
    store = as_user("~{tickglass} %R~{tickglass}:* +@read +@scripting +@connection +time")
    assert len(store.jobs()) == len(store.leases()) == len(store.runs()) == 1
    assert store.abandoned() == []
    assert problem_of(store.acquire, ASK).kind == "error"


def test_one_redlock_server_that_forbids_is_told_at_the_start(own_redis: Callable[..., RedisServer]) -> None:
    servers = [own_redis() for _ in range(3)]
    places = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    for server, channels in zip(servers, ("&*", "&*", "resetchannels"), strict=True):
        server.say("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", channels)
    store = open_store(f"redlock://app:secret@{places}/0?timeout=500ms", SystemClock())
    for call, ask in ((store.register, [JOB]), (store.acquire, ASK), (store.claim, CLAIM)):
        problem = problem_of(call, ask)
        assert problem.kind == "error"
        assert (
            f"127.0.0.1:{servers[2].port}: the user app may not PUBLISH on {{tickglass}}:freed:0:NAME" in problem.detail
        )
    servers[2].say("ACL", "SETUSER", "app", "-evalsha")
    assert "'evalsha'" in problem_of(store.register, [JOB]).detail
    assert [server.say("DBSIZE") for server in servers] == [0, 0, 0]
    servers[2].say("ACL", "SETUSER", "app", "+evalsha", "&*")
    store.register([JOB])
    assert isinstance(store.claim(CLAIM), Claimed)
    for server in servers:
        server.say("ACL", "SETUSER", "app", "-evalsha")
    assert "ACL SETUSER app" in problem_of(store.settle, settlement_of(Claimed(1))).detail
    store.close()


# --- while it runs


def test_a_channel_that_is_taken_away_costs_a_hint_and_no_lease(
    server: RedisServer, as_user: Callable[..., Store], caplog: pytest.LogCaptureFixture
) -> None:
    store = as_user(LINE)
    lease, claimed = lease_of(ASK, store.acquire(ASK)), store.claim(CLAIM)
    store.watch("ledger", lambda: None)
    server.say("ACL", "SETUSER", "app", "resetchannels")
    assert store.settle(settlement_of(claimed)) == Settled(recorded=True, released=True)
    assert store.release(lease) == Released()
    clock = SystemClock()
    until_ns = clock.monotonic_ns() + int(PATIENCE_S * SECOND)
    while "no subscription to freed resources and claims" not in caplog.text:
        assert clock.monotonic_ns() < until_ns
        clock.wait(clock.monotonic_ns() + 20 * MS, Wake())
    assert f"ACL SETUSER app {LINE}" in caplog.text
    lease = lease_of(ASK, store.acquire(ASK))
    server.say("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert store.renew(lease) == Renewed(), "nor when it connects anew"


def test_a_right_that_is_taken_away_breaks_no_second_script_off(
    server: RedisServer, as_user: Callable[..., Store]
) -> None:
    store = as_user(LINE)
    store.register([JOB])
    server.say("ACL", "SETUSER", "app", "-zadd")
    assert f"ACL SETUSER app {LINE}" in problem_of(store.acquire, ASK).detail
    before = contents(server)
    assert "the user app may not ZADD on " in problem_of(store.claim, CLAIM).detail
    assert contents(server) == before
    server.say("ACL", "SETUSER", "app", "+zadd")
    assert isinstance(store.claim(CLAIM), Claimed)


def test_every_command_of_the_scripts_is_asked_for() -> None:
    """A new command, or an old one on a new key, must be in the list of rights.lua too."""
    folders = [files(f"tickglass.sched.stores.{technology}") for technology in ("redis", "redlock")]
    scripts = [it for folder in folders for it in folder.iterdir() if it.name.endswith(".lua")]
    texts = {it.name: it.read_text("utf-8") for it in scripts}
    assert len(texts) == len(scripts)
    rights = texts.pop("rights.lua")
    listed = {
        (command, family.removesuffix("NAME"))
        for family, commands in re.findall(r"\{'(:[\w:]+)', '([A-Z ]+)'\}", rights)
        for command in commands.split()
    }
    used = set()
    for text in texts.values():
        used |= set(re.findall(r"redis\.call\('(\w+)', base \.\. '(:[a-z]+:?)'", text))
        used |= {("ZRANGEBYLEX", family) for family in re.findall(r"page_of\(base \.\. '(:\w+)'", text)}
    assert len(used) > 25
    assert used <= listed


# --- keys of another program, and a server that is full


@pytest.mark.parametrize("key", ["fences", "leases", "jobs", "ledgers", "runs", "open"])
def test_a_key_of_the_store_that_another_program_has_written_is_told_at_the_start(
    server: RedisServer, as_user: Callable[..., Store], key: str
) -> None:
    server.say("SET", f"{{tickglass}}:{key}", "theirs")
    before, store = contents(server), as_user(LINE)
    for call, ask in ((store.register, [JOB]), (store.acquire, ASK), (store.claim, CLAIM)):
        problem = problem_of(call, ask)
        assert problem.kind == "error"
        assert f"{{tickglass}}:{key} is a string: another program writes there" in problem.detail
    assert contents(server) == before


@pytest.mark.parametrize("died", [False, True])
@pytest.mark.parametrize(
    "key", ["record:billing/nightly", "dues:billing/nightly", "runs:billing/nightly", "lease:nightly"]
)
def test_a_key_of_a_job_that_another_program_has_written_breaks_a_claim_off_before_it_writes(
    server: RedisServer, as_user: Callable[..., Store], key: str, *, died: bool
) -> None:
    store = as_user(LINE)
    store.acquire(ASK)  # the first script that writes marks the layout
    if died:
        store.claim(replace(CLAIM, lease=replace(CLAIM.lease, token="dead", run_id="dead", ttl_ns=MS)))
        clock = SystemClock()
        clock.wait(clock.monotonic_ns() + 20 * MS, Wake())
    server.say("SET", f"{{tickglass}}:{key}", "theirs")
    before = contents(server)
    assert problem_of(store.claim, CLAIM).kind == "error"
    assert contents(server) == before


def test_one_foreign_key_of_many_jobs_keeps_them_all_from_being_registered_half_way(
    server: RedisServer, as_user: Callable[..., Store]
) -> None:
    store = as_user(LINE)
    store.acquire(ASK)
    server.say("SET", "{tickglass}:record:billing/other", "theirs")
    before = contents(server)
    assert problem_of(store.register, [JOB, dataclasses.replace(JOB, name="other")]).kind == "error"
    assert contents(server) == before


def test_a_full_server_refuses_before_anything_is_written_and_takes_what_ends(
    server: RedisServer, as_user: Callable[..., Store]
) -> None:
    store = as_user(LINE)
    store.register([JOB])
    claimed, lease = store.claim(CLAIM), lease_of(ASK, store.acquire(ASK))
    server.say("CONFIG", "SET", "maxmemory", "1")
    before = contents(server)
    for call, ask in (
        (store.acquire, replace(ASK, resource="other")),
        (store.claim, replace(CLAIM, due_ns=2, lease=replace(CLAIM.lease, resource="other", run_id="run 2"))),
        (store.register, [dataclasses.replace(JOB, name="other")]),
    ):
        assert "maxmemory" in problem_of(call, ask).detail
    assert contents(server) == before
    assert store.settle(settlement_of(claimed)) == Settled(recorded=True, released=True)
    assert store.release(lease) == Released()


def test_an_outcome_is_written_whole_whatever_the_script_may_not_do(
    server: RedisServer, as_user: Callable[..., Store]
) -> None:
    """A wake-up is a hint: the server that sends none has written the outcome, and says so."""
    store = as_user("~* &* +@all")
    claimed = store.claim(CLAIM)
    server.say("ACL", "SETUSER", "app", "resetchannels")
    args = lua.settle_args(settlement_of(claimed), "call")
    assert store._connections.run("settle", lua.SETTLE, *args)[:2] == [1, 1]  # type: ignore[attr-defined]
