"""An office, and the browser of its operator anna, whom a proxy names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from kit.office import Office, open_office

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
def web(opened: tuple[Office, str]) -> Iterator[httpx.Client]:
    headers = {"X-Forwarded-User": "anna", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
    with httpx.Client(base_url=opened[1], headers=headers) as client:
        yield client
