"""Decide who asks, what that person may do, and whether their own page made the request.

Pure: reads requests, and writes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tickglass.telemetry.sidecar.web.auth import TokenAuth

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from tickglass.telemetry.endpoint.operators import Operators

__all__ = ["BY_SIDECAR", "Access", "Actor", "Role"]

BY_SIDECAR: Final = "operator via sidecar"
_SAFE: Final = ("GET", "HEAD")


class Role(StrEnum):
    """What a person may do."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a request.

    Args:
        name: as a trusted proxy says; "" for the bearer of a token, whose name is not known.
        ambient: a browser sends these credentials by itself, also when another site's page makes it ask.
    """

    role: Role
    name: str = ""
    ambient: bool = False

    @property
    def may_act(self) -> bool:
        """Whether this is an operator."""
        return self.role is Role.OPERATOR

    def signature(self, given: str = "") -> str:
        """Return who acts, as the audit log will say.

        Args:
            given: the name that the bearer of a token gives; a name that the proxy gave is never replaced.
        """
        if self.name:
            return self.name
        return f"{given} ({BY_SIDECAR})" if given else BY_SIDECAR


class Access:
    """Knows who makes a request.

    Args:
        token: that viewers must send; "" lets everybody look.
        operators: None: nobody acts.
    """

    def __init__(self, token: str = "", operators: Operators | None = None) -> None:
        self._viewers = TokenAuth(token)
        self._operators = operators
        self._acting = None if operators is None or not operators.token else TokenAuth(operators.token)
        self._proxies = frozenset(map(_address, () if operators is None else operators.proxies))
        self._secret = secrets.token_bytes(32)  # of form keys; a form of before a restart is refused, and shown again

    @property
    def can_sign_in(self) -> bool:
        """Whether there is a token to sign in with."""
        return bool(self._viewers) or self._acting is not None

    @property
    def can_act(self) -> bool:
        """Whether anybody may act."""
        return self._operators is not None

    def actor(self, request: HTTPConnection) -> Actor | None:
        """Return who makes a request; None if it carries no valid credentials, and some are needed."""
        user = self._user(request)
        if self._acting is not None and self._acting.admits(request):
            return Actor(Role.OPERATOR, user, ambient=not self._acting.is_borne_by(request))
        if user and self._operators is not None:
            return Actor(Role.OPERATOR if user in self._operators.names else Role.VIEWER, user, ambient=True)
        return Actor(Role.VIEWER) if self._viewers.admits(request) else None

    def cookie_for(self, given: str) -> tuple[str, str] | None:
        """Return the cookie for a token that was typed in; None if it is none of ours."""
        for auth in (self._acting, self._viewers):
            if auth and auth.is_token(given):
                return auth.cookie, auth.cookie_value
        return None

    def is_smuggled(self, request: HTTPConnection) -> bool:
        """Return whether a page of another site made a browser send this request."""
        return self._viewers.is_smuggled(request)

    def is_forged(self, request: HTTPConnection) -> bool:
        """Return whether a request that changes something may come from another site's page.

        A program that bears a token is none: a browser sends such a header only for a page that knows the token.
        """
        if request.scope["method"] in _SAFE:
            return False
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            return site not in ("same-origin", "none")
        origin = request.headers.get("origin")
        if origin is not None:
            return urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
        actor = self.actor(request)
        return actor is not None and actor.ambient

    def form_key(self, actor: Actor) -> str:
        """Return what each form of this person carries, and no other site's page can know."""
        return hmac.new(self._secret, f"{actor.role} {actor.name}".encode(), hashlib.sha256).hexdigest()

    def is_form_key(self, given: str, actor: Actor) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(given.encode(), self.form_key(actor).encode())

    def _user(self, request: HTTPConnection) -> str:
        """Return the user whom a trusted proxy names; the server leaves `client` as it is, see server.py."""
        trusted, peer = self._operators, request.client
        if trusted is None or not trusted.header or peer is None or _address(peer.host) not in self._proxies:
            return ""
        named = request.headers.getlist(trusted.header)
        if len(named) != 1:
            return ""  # two of them: a client's own, passed on beside the proxy's
        try:
            return named[0].encode("latin-1").decode().strip()
        except UnicodeDecodeError:
            return ""  # names are UTF-8


def _address(host: str) -> str:
    """Return an address as it is compared: an IPv4 client of a socket that listens on IPv6 has a longer one."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
