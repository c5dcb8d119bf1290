"""Give this process a name that stays the same after a restart: host, service and slot, never a pid.

A slot is the lowest number whose lock file no process on this host holds, so the
same instances get the same names after a restart, and two never share one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import tempfile
from pathlib import Path
from typing import Final

from tickglass.sched.errors import ConfigError
from tickglass.sched.files.private import open_private, private_folder, why_unsafe

__all__ = ["Slot", "spool_path"]

_log: Final = logging.getLogger("tickglass")
_SLOTS_MAX: Final = 10_000
_NAME_MAX: Final = 100  # of the service in a file's name; services that share it only share the numbers


class Slot:
    """A number for one instance of a service on this host, held until closed.

    The lock file's lock goes with the process, however it ends.

    Raises:
        ConfigError: there is no place to keep lock files, or no slot is free.
    """

    def __init__(self, service: str) -> None:
        try:
            self._number, self._descriptor = _taken(_home(), _file_name(service))
        except OSError as error:
            raise ConfigError(
                f"this instance needs a name, for no slot could be taken: {error}", instead=('owner="host-1"',)
            ) from error
        self.owner = f"{os.uname().nodename}/{service}/{self._number}"

    def close(self) -> None:
        """Free the slot."""
        os.close(self._descriptor)


def spool_path(owner: str) -> Path:
    """Return where an instance keeps outcomes while its store cannot be reached.

    Raises:
        ConfigError: there is no place for it.
    """
    try:
        return _home() / f"{_file_name(owner)}.spool"
    except OSError as error:
        raise ConfigError(f"there is no place for a spool: {error}", instead=('spool="/var/lib/app/spool"',)) from error


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[:_NAME_MAX]


def _home() -> Path:
    """Return the folder of this user's lock files, which only this user can write to.

    The runtime directory may be named and not be there, or be another user's, which `sudo -E` leaves named.

    Raises:
        OSError: there is none.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    name = f"tickglass-{os.geteuid()}"
    if os.path.isdir(runtime):  # noqa: PTH112 - "" is none
        unsafe = why_unsafe(Path(runtime))
        if not unsafe:
            return private_folder(Path(runtime, name))
        _log.warning("%s: lock files and the spool are kept in %s instead", unsafe, tempfile.gettempdir())
    return private_folder(Path(tempfile.gettempdir(), name))


def _taken(home: Path, name: str) -> tuple[int, int]:
    """Lock the first free slot; return its number and the descriptor that holds it."""
    for number in range(_SLOTS_MAX):
        descriptor = open_private(home / f"{name}-{number}.lock", os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        return number, descriptor
    raise OSError(f"all {_SLOTS_MAX} slots of {name} are taken")
