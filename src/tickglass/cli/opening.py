"""Open a store to look into it: one that is there already, for looking creates nothing."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tickglass.sched.clock import SystemClock
from tickglass.sched.errors import ConfigError
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.sched.ports import Store

__all__ = ["looking_into"]


@contextmanager
def looking_into(url: str) -> Iterator[Store]:
    """Open the store that a URL names, and close it afterwards.

    Raises:
        ConfigError: the URL is wrong, or there is no store at that place.
        StoreUnavailable: the store is there, but does not answer.
    """
    _check_there_is_one(url)
    store = open_store(url, SystemClock())
    try:
        yield store
    finally:
        store.close()


def _check_there_is_one(url: str) -> None:
    """Refuse a place that `open_store` would fill; what else may be wrong, it refuses itself."""
    scheme, _, rest = url.partition("://")
    if scheme == "memory":
        raise ConfigError(
            "a store in memory is inside its scheduler's process; nobody else can look into it",
            given=url,
            instead=("sqlite:///jobs.db",),
        )
    path = unquote(rest.partition("?")[0].removeprefix("/"))
    if scheme != "sqlite" or not path or path == ":memory:":
        return
    file = Path(path).absolute()
    if not file.exists():
        raise ConfigError(f"there is no file {file}; a scheduler makes it when it starts", given=url)
    if file.is_file() and not file.stat().st_size:
        raise ConfigError(f"the file {file} is empty; no scheduler has ever used it", given=url)
