"""The sidecar's page and its endpoints for programs, over HTTP. Design: docs/sidecar.md.

Needs the extra `tickglass[sidecar]`.
"""

from tickglass.telemetry.sidecar.web.app import sidecar_app
from tickglass.telemetry.sidecar.web.control.desks import Desks
from tickglass.telemetry.sidecar.web.server import SidecarServer

__all__ = ["Desks", "SidecarServer", "sidecar_app"]
