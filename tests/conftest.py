"""What all tests share: the real servers of servers.py, and examples that may take their time."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

pytest_plugins = ["kit.servers", "kit.alerting"]

settings.register_profile("tickglass", deadline=None)  # no test is about how fast a machine is
settings.load_profile("tickglass")
