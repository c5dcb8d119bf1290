from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.cli.stores import LazyStore
from tickglass.sched.clock import SystemClock
from tickglass.sched.errors import StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from unit.cli.conftest import Filled


def test_a_store_need_not_be_there_yet(tmp_path: Path, filled: Filled) -> None:
    late = LazyStore(f"sqlite:///{tmp_path / 'later.db'}", SystemClock())
    with pytest.raises(StoreUnavailable, match="there is no file") as error:
        late.leases()
    assert error.value.kind == "unavailable"
    late.close()
    there = LazyStore(filled.url, SystemClock())
    assert [there.jobs(), there.leases(5), there.runs(), there.abandoned(3)] == [
        filled.store.jobs(),
        filled.store.leases(5),
        filled.store.runs(),
        filled.store.abandoned(3),
    ]
    assert there.time_ns() > 0
    there.close()
