"""Say which right a Redis user lacks, and the command that gives it.

Pure but for the name of the driver's errors. If a command in a script is forbidden, Redis does
not undo what the script wrote before; so a store checks all its rights before it writes at
all (`rights.lua`), and a missing right is an error at the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.stores.redis.topology import driver

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["forbids", "lacking", "with_cure"]

_RIGHTS: Final = "+@scripting +@read +@write +@connection +@pubsub +time"
_NAMED_MAX: Final = 3
# What Redis 7.0 and 7.2 say when a command within a script is forbidden; elsewhere it says NOPERM.
_IN_SCRIPTS: Final = ("The user executing the script can't", "ACL failure in script", "NOPERM")


def forbids(error: Exception) -> bool:
    """Whether the server's error says that this user may not do what was asked."""
    return isinstance(error, driver().exceptions.NoPermissionError) or any(word in str(error) for word in _IN_SCRIPTS)


def with_cure(problem: str, base: str, user: str, more: str = "") -> str:
    """Return what a server has forbidden, and the command that allows all that a store needs.

    Args:
        more: rights that are needed to find the server, see `ServerLocator`.
    """
    line = f"ACL SETUSER {user or 'default'} ~{base}* &{base}:* {_RIGHTS} {more}"
    return f"{problem}; this gives a user what a store needs: {line.rstrip()}"


def lacking(reply: Sequence[Any], base: str, user: str, more: str = "") -> str:
    """Return the problem in the answer of RIGHTS, "" if there is none."""
    missing, foreign = reply
    if missing:
        named = ", ".join(missing[:_NAMED_MAX])
        rest = f" and {len(missing) - _NAMED_MAX} more" if len(missing) > _NAMED_MAX else ""
        return with_cure(f"the user {user or 'default'} may not {named}{rest}", base, user, more)
    if foreign:
        keys = ", ".join(sorted(foreign))
        return f"{keys}: another program writes there; give this store a prefix of its own (?prefix=)"
    return ""
