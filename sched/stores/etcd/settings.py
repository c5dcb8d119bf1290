"""Say where a cluster is, and the defaults of what its URL may set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tickglass.sched.durations import SECOND

__all__ = ["PORT", "PREFIX", "TIMEOUT_NS", "Endpoint"]

PREFIX: Final = "/tickglass"
PORT: Final = 2379
TIMEOUT_NS: Final = 2 * SECOND


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one member of a cluster listens; an IPv6 address keeps its brackets."""

    host: str
    port: int = PORT

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
