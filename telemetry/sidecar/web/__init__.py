"""The sidecar's page and its endpoints for programs, over HTTP. Read-only. Design: docs/sidecar.md.

Needs the extra `tickglass[sidecar]`.
"""

from tickglass.telemetry.sidecar.web.app import sidecar_app
from tickglass.telemetry.sidecar.web.server import SidecarServer

__all__ = ["SidecarServer", "sidecar_app"]
