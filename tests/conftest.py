"""What all tests share: the real servers of servers.py, examples that may take their time, and workers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

sys.path.insert(0, str(Path(__file__).parent))

pytest_plugins = ["kit.servers", "kit.alerting", "kit.own_process"]

settings.register_profile("tickglass", deadline=None)  # no test is about how fast a machine is
settings.load_profile("tickglass")


@pytest.fixture(autouse=True)
def nothing_shared_is_left() -> Iterator[None]:
    """Close what free-standing locks share, so that no test sees the connections and threads of another one."""
    yield
    module = sys.modules.get("tickglass.locks.shared_store")
    if module is not None:
        module.SHARED_STORES.close_unused()


def pytest_xdist_auto_num_workers() -> int:
    """Return how many workers `pytest -n auto` starts: more than there are cores, because most tests mostly wait."""
    return min(8, 2 * (os.cpu_count() or 1))


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Spell out what no worker can send: a test may have logged half a surrogate pair."""
    return _sendable((yield))


def _sendable(value: Any) -> Any:  # noqa: ANN401 - any JSON
    match value:
        case str():
            return value.encode(errors="backslashreplace").decode()
        case dict():
            return {key: _sendable(each) for key, each in value.items()}
        case list():
            return [_sendable(each) for each in value]
        case tuple():
            return tuple(_sendable(each) for each in value)
        case _:
            return value
