"""Register the marker of the recorded histories."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "chaos: records a history under every kind of fault, for some ten seconds per store"
    )
