"""Keep what operators have asked for in Redis, and take a lease from its holder.

Each .lua file opens with its KEYS, ARGV and result. Redlock keeps the same keys by scripts of its own.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tickglass.sched.ports import AUDIT_KEPT, AuditRow, ControlRecord
from tickglass.sched.stores.redis.scripts import load_script
from tickglass.sched.stores.retention import shown_detail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.sched.stores.redis.connections import RedisConnections
    from tickglass.sched.stores.redis.scripts import Argument

__all__ = ["UNLOCK", "RedisControl", "StoredAct", "unlock_args"]

CONTROL: Final = load_script("control", writes=False)
WRITE_CONTROL: Final = load_script("write_control")
AUDIT: Final = load_script("audit", writes=False)
UNLOCK: Final = load_script("unlock")

_PAGE: Final = 500  # acts: the server does nothing else for about a millisecond
_VERSION_DIGITS: Final = 20


class StoredAct(NamedTuple):
    """One act as a server has it.

    Args:
        ballot: with Redlock, that in which the server accepted it; "" otherwise.
    """

    row: AuditRow
    ballot: str


class RedisControl:
    """See `ControlStore`: what one server has."""

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections

    def read(self, known_version: int) -> ControlRecord | None:
        """See `ControlStore.control`: one HGET while nothing has changed, and a script if something has."""
        version = self._connections.ask("control", "HGET", f"{self._connections.base}:control", "version")
        if int(version or 0) == known_version:
            return None
        version, text = self._connections.run("control", CONTROL)
        return ControlRecord(int(version), text)

    def write(self, record: ControlRecord, entry: str) -> bool:
        """See `ControlStore.write_control`."""
        args = (record.version, record.text, entry, AUDIT_KEPT)
        return bool(self._connections.run("write_control", WRITE_CONTROL, *args))

    def audit(self, limit: int, before: int | None) -> list[StoredAct]:
        """See `ControlStore`; one script per page."""
        return list(islice(self._acts(limit, before), max(0, limit)))

    def unlock(self, resource: str, fence: int, detail: str, call: str) -> bool:
        """See `ControlStore`; never sent twice, because the second answer would be that nobody has the lease."""
        args = unlock_args(resource, fence, detail, call)
        return bool(self._connections.run("unlock", UNLOCK, *args, again=False))

    def _acts(self, limit: int, before: int | None) -> Iterator[StoredAct]:
        after = "" if before is None else f"{max(0, before):0{_VERSION_DIGITS}d}"
        while limit > 0:
            after, *acts = self._connections.run("audit", AUDIT, after, min(limit, _PAGE))
            yield from map(_act, acts)
            if not after:
                return


def unlock_args(resource: str, fence: int, detail: str, call: str) -> tuple[Argument, ...]:
    """Return ARGV of UNLOCK; `call` is the id of this call."""
    return resource, fence, shown_detail(detail), call


def _act(stored: Any) -> StoredAct:  # noqa: ANN401 - the script's
    wall_us, text, ballot = json.loads(stored[_VERSION_DIGITS:])
    return StoredAct(AuditRow(int(stored[:_VERSION_DIGITS]), int(wall_us) * 1_000, text), ballot)
