"""Read how much CPU time a Redis server has used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

__all__ = ["server_cpu_s"]


def server_cpu_s(client: Redis) -> float:
    """Return the seconds of CPU time that the server has used since its start."""
    used = client.info("cpu")
    if not isinstance(used, dict):
        raise TypeError(f"INFO answered {used!r}")
    return float(used["used_cpu_sys"]) + float(used["used_cpu_user"])
