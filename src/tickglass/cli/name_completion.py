"""Complete names that the store knows when a user presses Tab: jobs, services, instances, resources.

The store is read on a thread, and given up after a moment: a shell waits for no store. An error completes nothing.
"""

from __future__ import annotations

import os
from contextlib import closing
from threading import Thread
from typing import TYPE_CHECKING, Final

from tickglass.cli.stores import STORE_ENV
from tickglass.sched.clock import SystemClock
from tickglass.sched.errors import TickglassError
from tickglass.sched.stores import DEFAULT_STORE, check_exists, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click

    from tickglass.sched.ports import StoreObserver

__all__ = ["WITHIN_S", "complete_jobs", "complete_owners", "complete_resources", "complete_services"]

WITHIN_S: Final = 0.3


def _completed(names: Callable[[StoreObserver], Iterable[str]]) -> Callable[..., list[str]]:
    """Return what completes a parameter with these names of the store in TICKGLASS_STORE, or the default one."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        found: list[str] = []

        def read() -> None:
            try:
                url = os.environ.get(STORE_ENV) or DEFAULT_STORE
                check_exists(url)
                with closing(open_store(url, SystemClock())) as store:
                    found.extend(sorted(set(names(store))))
            except TickglassError:
                return  # a message in the middle of a command line helps nobody; the command itself will tell it

        thread = Thread(target=read, name="complete", daemon=True)
        thread.start()
        thread.join(WITHIN_S)
        # Scripts of shells read a line for each name.
        return [name for name in found if name.startswith(incomplete) and name.isprintable()]

    return complete


complete_jobs: Final = _completed(lambda store: [it.name for it in store.jobs()])
complete_services: Final = _completed(
    lambda store: [*(it.service for it in store.jobs()), *(it.service for it in store.instances())]
)
complete_owners: Final = _completed(lambda store: [it.owner for it in store.instances() if it.living])
complete_resources: Final = _completed(lambda store: [it.resource for it in store.leases() if it.remaining_ns > 0])
