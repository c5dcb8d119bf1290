"""Decide where a sidecar's socket is, how its address is written, and which user's processes may use it."""

from __future__ import annotations

import os
import socket
import struct
import tempfile
from pathlib import Path
from typing import Final

from tickglass.sched.errors import ConfigError
from tickglass.sched.files.private import private_folder, why_unsafe

__all__ = ["checked_path", "default_path", "path_of", "peer_uid", "url_of"]

_SCHEME: Final = "unix://"
_RIGHT: Final[tuple[str, ...]] = ("unix:///run/tickglass.sock",)
_PATH_MAX: Final = 107  # bytes: sun_path, less its end
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid: unix(7)


def path_of(url: str) -> str:
    """Return the path that a URL names.

    Args:
        url: "unix:///run/tickglass.sock".

    Raises:
        ConfigError: it has another form.
    """
    if not isinstance(url, str) or not url.startswith(_SCHEME):
        bare = isinstance(url, str) and url.startswith("/")
        right = (url_of(url),) if bare else _RIGHT
        raise ConfigError("a sidecar's address is unix:// and a path", given=str(url), instead=right)
    path = url.removeprefix(_SCHEME)
    if not path.startswith("/"):
        right = (url_of(f"/{path}"), *_RIGHT) if path else _RIGHT
        raise ConfigError(
            "the path of a sidecar's socket is absolute: three slashes",
            given=url,
            span=(len(_SCHEME), len(url)),
            instead=right,
        )
    return checked_path(path, given=url)


def url_of(path: str) -> str:
    """Return the URL of a path."""
    return f"{_SCHEME}{path}"


def checked_path(path: str, *, given: str = "") -> str:
    """Return the path if a socket can have it.

    Raises:
        ConfigError: none can.
    """
    if "\0" in path or path.endswith("/"):
        raise ConfigError("this is not a valid socket path", given=(given or path).replace("\0", "?"), instead=_RIGHT)
    if len(os.fsencode(path)) > _PATH_MAX:
        raise ConfigError(f"the path of a socket has at most {_PATH_MAX} bytes", given=given or path, instead=_RIGHT)
    return path


def default_path() -> str:
    """Return where a sidecar listens by default: in this user's runtime directory, in /run, or in a folder in /tmp.

    Raises:
        ConfigError: none of them can be used.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    for folder in (runtime, "/run"):
        if os.path.isdir(folder) and os.access(folder, os.W_OK) and not why_unsafe(Path(folder)):  # noqa: PTH112 - "" is none
            return checked_path(str(Path(folder, "tickglass.sock")))
    try:
        home = private_folder(Path(tempfile.gettempdir(), f"tickglass-{os.geteuid()}"))
    except OSError as error:
        instead = ("--socket /var/lib/app/tickglass.sock",)
        raise ConfigError(f"no folder is usable for a socket: {error}", instead=instead) from error
    return checked_path(str(home / "sidecar.sock"))


def peer_uid(link: socket.socket) -> int | None:
    """Return the user id of the process at the other end; None if the platform does not provide it."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    _, uid, _ = _CREDENTIALS.unpack(link.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    return int(uid)
