"""Make stores of earlier layouts, from what the versions before left behind: see tests/contract/layouts/README.md."""

from __future__ import annotations

import base64
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kit.servers import EtcdServer, RedisServer

__all__ = ["LIVE_NS", "etcd_of_layout_1", "redis_of_layout_1", "sqlite_of_layout_1", "text64"]

_LAYOUTS: Final = Path(__file__).parents[1] / "contract" / "layouts"
LIVE_NS: Final = 315_360_000_000_000_000  # the TTL of the leases that live: ten years


def sqlite_of_layout_1(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.executescript((_LAYOUTS / "sqlite-1.sql").read_text("utf-8"))


def redis_of_layout_1(server: RedisServer) -> None:
    for command in _lines("redis-1.json"):
        server.say(*command)


def etcd_of_layout_1(server: EtcdServer, prefix: str) -> None:
    """Write it transaction by transaction, because fences are revisions."""
    lease = server.say("lease/grant", TTL=LIVE_NS // 1_000_000_000)["ID"]
    for puts in _lines("etcd-1.json"):
        steps = []
        for it in puts:
            put: dict[str, object] = {
                "key": text64(it["key"].replace("/tickglass", prefix, 1)),
                "value": text64(it["value"]),
            }
            steps.append({"requestPut": put | ({"lease": lease} if it.get("leased") else {})})
        server.say("kv/txn", success=steps)


def text64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _lines(name: str) -> Any:  # noqa: ANN401 - any JSON
    return json.loads((_LAYOUTS / name).read_text("utf-8"))
