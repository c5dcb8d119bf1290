"""Load the scripts that only Redlock runs on its servers, beside those of redis/scripts.py.

Pure but for reading the scripts from this package, once. Each .lua file opens with its KEYS, ARGV and result.
"""

from __future__ import annotations

from typing import Final

from tickglass.sched.stores.redis.scripts import Script, load_script

__all__ = [
    "ACCEPT",
    "CONFIRM",
    "CONTROL_STATE",
    "OCCURRENCE_STATE",
    "PROMISE",
    "READ_REPAIR",
    "REOPEN",
    "WITHDRAW",
]


def _load(name: str, *, writes: bool = True) -> Script:
    return load_script(name, package="tickglass.sched.stores.redlock", writes=writes)


ACCEPT: Final = _load("accept")
CONFIRM: Final = _load("confirm")
CONTROL_STATE: Final = _load("control_state", writes=False)
OCCURRENCE_STATE: Final = _load("occurrence_state", writes=False)
PROMISE: Final = _load("promise")
READ_REPAIR: Final = _load("read_repair")
REOPEN: Final = _load("reopen")
WITHDRAW: Final = _load("withdraw")
