"""A stage for the real state machines: see tests/stage.py."""

from __future__ import annotations

import pytest
from kit.metrics_stage import Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def small_stage() -> Stage:
    """At most three names per label."""
    return Stage(names_most=3)
