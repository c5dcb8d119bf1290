"""What operators ask for, in Redis: what a poll costs, and whose keys they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from tickglass.sched.clock import SystemClock
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import ControlRecord
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kit.servers import RedisServer

    from tickglass.sched.ports import Store


@pytest.fixture
def server(own_redis: Callable[..., RedisServer]) -> RedisServer:
    return own_redis()


@pytest.fixture
def store(server: RedisServer) -> Iterator[Store]:
    store = open_store(f"{server.url}?prefix=ops", SystemClock())
    yield store
    store.close()


def calls(server: RedisServer) -> dict[str, int]:
    """Return how often the server has run each command."""
    with redis.Redis(port=server.port, protocol=2) as client:
        stats = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): it["calls"] for name, it in stats.items()}


def test_an_unchanged_version_costs_one_hget_and_no_script(server: RedisServer, store: Store) -> None:
    assert store.write_control(ControlRecord(1, "text"), "act")
    server.say("CONFIG", "RESETSTAT")
    for _ in range(5):
        assert store.control(1) is None
    counted = calls(server)
    assert counted["hget"] == 5
    assert not counted.keys() & {"evalsha", "eval", "hmget"}


def test_before_the_first_act_a_poll_costs_the_same(server: RedisServer, store: Store) -> None:
    assert store.control() == ControlRecord()
    server.say("CONFIG", "RESETSTAT")
    assert store.control(0) is None
    assert calls(server)["hget"] == 1


def test_all_keys_have_the_stores_prefix(server: RedisServer, store: Store) -> None:
    assert store.write_control(ControlRecord(1, "text"), "act")
    assert {"{ops}:control", "{ops}:acts"} <= set(server.say("KEYS", "*"))
    assert all(key.startswith("{ops}:") for key in server.say("KEYS", "*"))


def test_a_user_that_only_reads_reads_it(server: RedisServer, store: Store) -> None:
    assert store.write_control(ControlRecord(1, "text"), "act")
    rights = ("~{ops}", "%R~{ops}:*", "+@scripting", "+@read", "+@connection", "+time")
    server.say("ACL", "SETUSER", "page", "on", ">secret", *rights)
    reader = open_store(f"redis://page:secret@127.0.0.1:{server.port}/0?prefix=ops", SystemClock())
    assert reader.control(0) == ControlRecord(1, "text")
    assert reader.control(1) is None
    assert [row.text for row in reader.audit()] == ["act"]
    with pytest.raises(StoreUnavailable, match="HSET on "):
        reader.write_control(ControlRecord(2, ""), "2")
    with pytest.raises(StoreUnavailable, match="HSET on "):
        reader.unlock("r", 1, "")
    assert store.control(1) is None
    reader.close()


@pytest.mark.parametrize("name", ["control", "acts"])
def test_another_programs_key_is_told_and_nothing_is_written(server: RedisServer, store: Store, name: str) -> None:
    server.say("SET", f"{{ops}}:{name}", "theirs")
    with pytest.raises(StoreUnavailable, match=f"ops}}:{name} is a string: another program writes there"):
        store.write_control(ControlRecord(1, "text"), "act")
    assert server.say("KEYS", "*") == [f"{{ops}}:{name}"]


def test_a_person_who_deletes_the_log_loses_the_log_alone(server: RedisServer, store: Store) -> None:
    for version in (1, 2):
        assert store.write_control(ControlRecord(version, "text"), f"act {version}")
    server.say("DEL", "{ops}:acts")
    assert store.control(2) is None
    assert store.write_control(ControlRecord(2, "text"), "act 2")  # repeated
    assert list(store.audit()) == []
    assert store.write_control(ControlRecord(3, "text"), "act 3")
    assert [row.text for row in store.audit()] == ["act 3"]


def test_rows_of_a_record_that_a_person_deleted_are_dropped_by_the_first_act(server: RedisServer, store: Store) -> None:
    for version in (1, 2, 3):
        assert store.write_control(ControlRecord(version, "text"), f"act {version}")
    server.say("DEL", "{ops}:control")
    assert store.control(3) == ControlRecord()
    assert store.write_control(ControlRecord(1, "text"), "anew")
    assert [row.text for row in store.audit()] == ["anew"]


def test_a_log_of_many_acts_is_read_in_pages(server: RedisServer, store: Store) -> None:
    for version in range(1, 1_203):
        assert store.write_control(ControlRecord(version, ""), f"act {version}")
    server.say("CONFIG", "RESETSTAT")
    assert [row.version for row in store.audit(1_100, before=1_200)] == list(range(1_199, 99, -1))
    assert calls(server)["evalsha"] == 3
