"""A page for a person in a hurry, and what machines ask of a sidecar, over HTTP. Read-only. Design: docs/sidecar.md.

Needs the extra `tickglass[sidecar]`.
"""

from tickglass.telemetry.sidecar.web.app import sidecar_app
from tickglass.telemetry.sidecar.web.server import SidecarServer

__all__ = ["SidecarServer", "sidecar_app"]
