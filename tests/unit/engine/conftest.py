"""Each test its own rig."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from kit.manual_locks import Desk
from kit.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


@pytest.fixture
def desk(rig: Rig) -> Iterator[Desk]:
    with ThreadPoolExecutor(8) as threads:
        made = Desk(rig, threads)
        try:
            yield made
        finally:
            made.lock_host.manual_locks.stop()  # nobody waits for ever
