"""Read the URL of a database file, and say whether a scheduler has made that file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

from tickglass.sched.errors import ConfigError
from tickglass.sched.stores.retention import KEEP_MIN_NS, KEEP_NS
from tickglass.sched.stores.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import Store
    from tickglass.sched.stores.sqlite.file import Synchronous
    from tickglass.sched.stores.url import StoreUrl

    Opener = Callable[[Clock], Store]

__all__ = ["check_file_exists", "read_sqlite"]


def read_sqlite(url: StoreUrl) -> Opener:
    """Read `sqlite:///relative.db?synchronous=full&keep=24h`, or four slashes and an absolute path."""
    synchronous = cast("Synchronous", url.choice("synchronous", "normal", "full"))
    keep_ns = url.duration_ns("keep", KEEP_NS, min_ns=KEEP_MIN_NS)
    path = _path(url)

    def opener(clock: Clock) -> Store:
        try:
            return SqliteStore(path, clock, synchronous=synchronous, keep_ns=keep_ns)
        except ConfigError as error:
            raise url.refusal(error.problem, url.body.removeprefix("/")) from error

    return opener


def check_file_exists(url: StoreUrl) -> None:
    """Refuse a file that is missing or empty.

    Raises:
        ConfigError: it is, or the URL names no file.
    """
    file = _path(url).absolute()
    if not file.exists():
        raise ConfigError(f"there is no file {file}; a scheduler makes it when it starts", given=url.text)
    if file.is_file() and not file.stat().st_size:
        raise ConfigError(f"the file {file} is empty; no scheduler has ever used it", given=url.text)


def _path(url: StoreUrl) -> Path:
    if url.body and not url.body.startswith("/"):
        raise url.refusal("a path follows sqlite:/// - with three slashes", url.body, f"sqlite:///{url.shown_body}")
    path = unquote(url.body.removeprefix("/"))
    if path == ":memory:":
        raise url.refusal("a database in memory is not shared with anybody", ":memory:", "memory://")
    if not path or path.endswith("/") or "\0" in path:
        right = ("sqlite:///jobs.db", "sqlite:////var/lib/jobs.db")
        raise url.refusal("sqlite:// needs the path of a file", url.body.removeprefix("/"), *right)
    return Path(path)
