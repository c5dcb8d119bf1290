"""Decide which requests carry a token, and which come from a page of another site.

Pure: reads requests, and writes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Final

from tickglass.telemetry.endpoint.access import bears, is_loopback, is_smuggled, is_token

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

__all__ = ["TokenAuth", "address_of", "came_over_tls", "path_back"]

_BACK: Final = re.compile(r"/(?![/\\])[!-~]*")  # a path of this site, and nothing that a browser reads as another site


class TokenAuth:
    """Checks the token and the origin of requests.

    After a sign-in, the browser's cookie contains a digest of the token, so that a
    stolen cookie does not reveal the token. Its name depends on the token, because browsers
    share the cookies of all ports of a host.

    Args:
        token: "" allows all requests.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self.cookie = f"tickglass_{self._digest('name')[:12]}"
        self.cookie_value = self._digest("value")

    def __bool__(self) -> bool:
        """Return whether a token is required."""
        return bool(self._token)

    def is_token(self, given: str) -> bool:
        """Compare in constant time."""
        return is_token(given, self._token)

    def admits(self, request: HTTPConnection) -> bool:
        """Return whether a request carries the token, or the cookie made from it."""
        if not self or self.is_borne_by(request):
            return True
        return hmac.compare_digest(request.cookies.get(self.cookie, "").encode(), self.cookie_value.encode())

    def is_borne_by(self, request: HTTPConnection) -> bool:
        """Return whether a request carries the token itself, as only programs do."""
        return bears(request.headers, self._token)

    def is_smuggled(self, request: HTTPConnection) -> bool:
        """Return whether a page of another site made a browser send this request."""
        local = str((request.scope.get("server") or ("",))[0])
        return is_smuggled(request.headers, local, has_token=bool(self))

    def _digest(self, of: str) -> str:
        return hmac.new(self._token.encode(), f"tickglass sidecar cookie {of}".encode(), hashlib.sha256).hexdigest()


def path_back(given: str) -> str:
    """Return where to go after the sign-in: always a path of this site."""
    return given if _BACK.fullmatch(given) else "/"


def address_of(request: HTTPConnection) -> str:
    """Return the address that a request asked for, as a path of this site; not `request.url`, see `came_over_tls`."""
    path = request.scope.get("raw_path", request.scope["path"].encode()).decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return path_back(f"{path}?{query}" if query else path)


def came_over_tls(request: HTTPConnection) -> bool:
    """Return whether a request came over TLS: to us, or to a proxy on this host, which says so."""
    if request.scope["scheme"] == "https":  # not `request.url`: it cannot be read under each Host header
        return True
    peer = request.client
    forwarded = request.headers.get("x-forwarded-proto", "")
    return peer is not None and is_loopback(peer.host) and forwarded.casefold() == "https"
