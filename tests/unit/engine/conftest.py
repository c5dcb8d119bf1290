"""Each test its own rig."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rig import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()
