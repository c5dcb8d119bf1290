"""Say how much memory this process occupies. Standard library alone: the processes of peers import this."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["rss_bytes"]


def rss_bytes() -> float:
    """Return the resident set in bytes."""
    return float(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
