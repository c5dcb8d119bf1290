"""Decide who may look: by a token where there is one, and never by the way of a page of somebody else's.

Pure but for its arguments: reads requests, writes none.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Final

from tickglass.telemetry.endpoint.access import bears, is_smuggled, is_token

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

__all__ = ["TokenAuth", "path_back"]

_BACK: Final = re.compile(r"/(?![/\\])[!-~]*")  # a path of this site, nothing that a browser takes for another's


class TokenAuth:
    """What is asked of those who come in.

    The cookie of a person who gave the token holds a digest of it: who gets hold of
    a cookie has not got the token. Its name differs from token to token, because browsers
    keep the cookies of all ports of a host together.

    Args:
        token: "" to let everybody in.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self.cookie = f"tickglass_{self._digest('name')[:12]}"
        self.cookie_value = self._digest("value")

    def __bool__(self) -> bool:
        """Whether a token is asked for."""
        return bool(self._token)

    def is_token(self, given: str) -> bool:
        """Compare, in a time that does not tell how much of it was right."""
        return is_token(given, self._token)

    def admits(self, request: HTTPConnection) -> bool:
        """Tell whether a request carries the token, or the cookie made from it."""
        if not self:
            return True
        if bears(request.headers, self._token):
            return True
        return hmac.compare_digest(request.cookies.get(self.cookie, "").encode(), self.cookie_value.encode())

    def is_smuggled(self, request: HTTPConnection) -> bool:
        """Tell whether a page of another site makes somebody's browser ask."""
        local = str((request.scope.get("server") or ("",))[0])
        return is_smuggled(request.headers, local, has_token=bool(self))

    def _digest(self, of: str) -> str:
        return hmac.new(self._token.encode(), f"tickglass sidecar cookie {of}".encode(), hashlib.sha256).hexdigest()


def path_back(given: str) -> str:
    """Return where to go after signing in: a path of this site, whatever was asked for."""
    return given if _BACK.fullmatch(given) else "/"
