"""Decide which folders and files other users cannot change, and make folders and files for this user alone.

A room of its own, because it asks the operating system, which the domain does not, and because stores, telemetry and
the face, which must not import each other, all need the same answer.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from pathlib import Path
from typing import Final

from tickglass.sched.errors import ConfigError

__all__ = ["check_link", "check_ours", "make_private", "open_private", "private_folder", "why_unsafe"]

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
# Closing a file gives up all POSIX locks that this process has on it, SQLite's as well. A second thread that finds the
# file there waits here until it is closed, before it opens it as a database.
_making: Final = threading.Lock()


def private_folder(folder: Path) -> Path:
    """Return a folder that only this user writes in; it is created if it is missing.

    Raises:
        OSError: it cannot be created, or is not this user's alone; the error says which.
    """
    # In a sticky folder, usually /tmp, other users cannot replace it; a sandbox may hide the owner of that folder.
    if not folder.parent.stat().st_mode & stat.S_ISVTX and (unsafe := why_unsafe(folder.parent)):
        raise PermissionError(unsafe)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()  # after it was made: no other user can replace it
    if stat.S_ISLNK(found.st_mode):
        raise PermissionError(f"{folder} is a symbolic link, not a folder")
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to user {found.st_uid}, not to this process's user {os.geteuid()}")
    if found.st_mode & _OTHERS_WRITE:
        raise PermissionError(f"others may write in {folder}: chmod 700 makes it this user's alone")
    return folder


def why_unsafe(folder: Path) -> str:
    """Return why another user can replace what this user makes in a folder; "" if it is root's or this user's own.

    A folder that all users may write in is accepted, because Kubernetes mounts volumes like that, without a sticky
    bit, where no other user runs.
    """
    found = folder.stat()
    if found.st_uid in (0, os.geteuid()):
        return ""
    return f"{folder} belongs to user {found.st_uid}, who can replace what is in it"


def open_private(path: Path, flags: int) -> int:
    """Return a descriptor of a file; a missing file is created for this user alone, and no link is followed.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def make_private(path: Path) -> None:
    """Create an empty file for this user alone; an existing file stays as it is.

    The files that SQLite puts beside a database have the mode of the database.

    Raises:
        ConfigError: see `check_link`.
        OSError: it cannot be made.
    """
    check_link(path)
    target = Path(os.path.realpath(path))  # a link of this user may name a file that does not exist yet
    with _making, contextlib.suppress(FileExistsError):
        os.close(open_private(target, os.O_WRONLY | os.O_EXCL))


def check_link(path: Path) -> None:
    """Refuse a symbolic link of another user.

    Raises:
        ConfigError: a symbolic link of another user's stands there.
    """
    found = _status(path)
    if found is not None and stat.S_ISLNK(found.st_mode) and found.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"{path} is a symbolic link that belongs to user {found.st_uid}")


def check_ours(path: Path) -> None:
    """Refuse a file, if there is one, that another user could read or fill.

    Raises:
        ConfigError: a symbolic link or a file of another user's stands there.
    """
    check_link(path)
    try:
        found = path.stat()
    except OSError:  # it is missing or cannot be reached: opening it says so
        return
    if found.st_uid != os.geteuid():
        raise ConfigError(f"{path} belongs to user {found.st_uid}, not to this process's user {os.geteuid()}")


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None
