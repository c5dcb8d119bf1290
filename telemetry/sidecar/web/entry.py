"""Decide who may look: by a token where there is one, and never by the way of a page of somebody else's.

Pure but for its arguments: reads requests, writes none.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

__all__ = ["Entry", "path_back"]

_HOST: Final = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<name>[^:\[\]]+))(?::\d+)?")
_BACK: Final = re.compile(r"/(?![/\\])[!-~]*")  # a path of this site, nothing that a browser takes for another's


class Entry:
    """What is asked of those who come in.

    The cookie of a person who gave the token holds a digest of it: who gets hold of
    a cookie has not got the token. Its name differs from token to token, because browsers
    keep the cookies of all ports of a host together.

    Args:
        token: "" to let everybody in.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self.cookie = f"tickglass_{self._digest('name')[:12]}"
        self.cookie_value = self._digest("value")

    def __bool__(self) -> bool:
        """Whether a token is asked for."""
        return bool(self._token)

    def is_token(self, given: str) -> bool:
        """Compare, in a time that does not tell how much of it was right."""
        return hmac.compare_digest(given.encode(), self._token)

    def admits(self, request: HTTPConnection) -> bool:
        """Tell whether a request carries the token, or the cookie made from it."""
        if not self:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.casefold() == "bearer" and self.is_token(given.strip()):
            return True
        return hmac.compare_digest(request.cookies.get(self.cookie, "").encode(), self.cookie_value.encode())

    def is_smuggled(self, request: HTTPConnection) -> bool:
        """Tell whether a page of another site makes somebody's browser ask.

        Without a token the loopback address is what keeps others out, and a browser on
        this machine must not carry them in: neither by a name that somebody made to mean this
        machine (DNS rebinding), nor as part of another site's page.
        """
        site = request.headers.get("sec-fetch-site", "none")
        if site not in ("none", "same-origin") and request.headers.get("sec-fetch-mode") != "navigate":
            return True
        if self or not _is_loopback(str((request.scope.get("server") or ("",))[0])):
            return False
        host = request.headers.get("host", "")
        match = _HOST.fullmatch(host)
        if match is None:
            return bool(host)
        name = match["six"] or match["name"].rstrip(".").lower()
        return not (name == "localhost" or name.endswith(".localhost") or _is_loopback(name))

    def _digest(self, of: str) -> str:
        return hmac.new(self._token, f"tickglass sidecar cookie {of}".encode(), hashlib.sha256).hexdigest()


def path_back(given: str) -> str:
    """Return where to go after signing in: a path of this site, whatever was asked for."""
    return given if _BACK.fullmatch(given) else "/"


def _is_loopback(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
