"""What the suites of the merged view share."""

from __future__ import annotations

import pytest
from kit.sidecar_views import SidecarRig


@pytest.fixture
def rig() -> SidecarRig:
    """Return a sidecar's schedulers and stores, on a clock that stands still."""
    return SidecarRig()
