"""A packed call is what redis-py would send, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
import redis.connection

from tickglass.sched.stores.redis.packing import packed_call

THEIRS: Any = redis.connection.Connection


@pytest.mark.parametrize("args", [(), ("a", 1, ""), ("schön", -(2**63), "\0\r\n", 2**64), tuple("x" * 3_000)])
def test_a_call_is_packed_as_redis_py_packs_it(args: tuple[str | int, ...]) -> None:
    theirs = THEIRS().pack_command("EVALSHA", "f" * 40, 1, "{tickgläss}", *args)
    assert packed_call("f" * 40, "{tickgläss}", args) == b"".join(theirs)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(UnicodeError):
        packed_call("f" * 40, "{tickglass}", ("\ud800",))
