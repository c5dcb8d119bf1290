"""Say what it means that a script was refused because the keys have another layout, and migrate keys of the one before.

Every script checks the layout (common.lua), so no instance works on keys that another version has changed meanwhile.
A script that writes has older keys migrated; one that only reads changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.stores.redis.packing import packed_call
from tickglass.sched.stores.redis.scripts import MIGRATE
from tickglass.sched.stores.redis.topology import call, driver

if TYPE_CHECKING:
    from tickglass.sched.stores.redis.scripts import Argument, Script
    from tickglass.sched.stores.redis.topology import Connection

__all__ = ["MIGRATING", "is_older", "migrate", "refused_layout", "run_script", "told"]

MIGRATING: Final = "1>2"  # an instance migrates the keys, or died while it did: then the next one goes on
_OURS: Final = "2"
_OLDER: Final = ("1", MIGRATING)
_PAGE: Final = 500  # attempts: the server does nothing else for some 10 ms


def refused_layout(error: Exception) -> str:
    """Return the layout that the keys have, if that is why a script was refused; else ""."""
    word, _, layout = str(error).partition(" ")
    return layout if word == "LAYOUT" else ""


def is_older(layout: str) -> bool:
    """Whether the keys can be migrated."""
    return layout in _OLDER


def told(layout: str, base: str) -> str:
    """Return what is wrong with keys of this layout, and what to do."""
    if layout == MIGRATING:
        return f"the keys under {base} are being migrated to layout {_OURS}; ask again"
    if is_older(layout):
        return (
            f"the keys under {base} were written by an older Tickglass: they have layout {layout}, this one reads "
            f"{_OURS}; the first scheduler of this version that starts on them migrates them"
        )
    return (
        f"the keys under {base} were written by a newer Tickglass: they have layout {layout}, this one knows {_OURS}; "
        "upgrade this installation, or give the store another prefix (?prefix=)"
    )


def migrate(connection: Connection, base: str) -> None:
    """Migrate the keys, page by page; several instances may do so at once. redis-py's errors are not wrapped."""
    while run_script(connection, MIGRATE, base, (_PAGE,)):
        pass


def run_script(connection: Connection, script: Script, base: str, args: tuple[Argument, ...]) -> object:
    """Run a script by its hash; send its text if the server does not know it."""
    try:
        connection.send_packed_command([packed_call(script.sha, base, args)], check_health=False)
        return connection.read_response()
    except driver().exceptions.NoScriptError:
        return call(connection, "EVAL", script.text, 1, base, *args)
