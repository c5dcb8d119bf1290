"""An office, and a client that bears its operators' token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from kit.office import OP_TOKEN, Office, open_office

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Office, str]]:
    with open_office(tmp_path) as opened:
        yield opened


@pytest.fixture
def office(opened: tuple[Office, str]) -> Office:
    return opened[0]


@pytest.fixture
def api(opened: tuple[Office, str]) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {OP_TOKEN}"}
    with httpx.Client(base_url=f"{opened[1]}/api/v1/", headers=headers) as client:
        yield client
