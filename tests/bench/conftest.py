"""Make the benchmark importable: its own arithmetic is tested here, and no time is."""

from __future__ import annotations

import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))
