"""Grafana boards for what Tickglass exports: described in Python, written as JSON, tested on a live Prometheus."""

from tickglass.dashboards.boards import boards
from tickglass.dashboards.scope import BoardScope

__all__ = ["BoardScope", "boards"]
