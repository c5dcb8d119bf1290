"""Decide which requests an HTTP endpoint answers: with the token if there is one, and never from another site's page.

Pure except for the environment variable of the token. The servers of sidecar and scheduler use the same rules.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
from typing import TYPE_CHECKING, Final

from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "PROBES",
    "TOKEN_ENV",
    "UNREADY",
    "bears",
    "checked_token",
    "is_loopback",
    "is_smuggled",
    "is_token",
    "token_in_environment",
]

TOKEN_ENV: Final = "TICKGLASS_TOKEN"  # noqa: S105 - the name of the variable, not what it holds
# What a platform's probes ask for, which cannot carry a secret: answered without the token, by a status alone.
PROBES: Final = ("/healthz", "/readyz")
UNREADY: Final = "not ready; with the token you are told why: Authorization: Bearer ...\n"

_TOKEN: Final = re.compile(r"[!-~]+")  # what a header can carry, and a person can type
_HOST: Final = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<name>[^:\[\]]+))(?::\d+)?")


def checked_token(given: str, where: str) -> str:
    """Return a token without the white space around it, such as the line end of a file.

    Args:
        given: never shown.
        where: the setting that holds it, such as "$TICKGLASS_TOKEN".

    Raises:
        ConfigError: it is empty, or not valid in a header.
    """
    if not isinstance(given, str):
        raise ConfigError(f"the token in {where} is text, not {type(given).__name__}")
    token = given.strip()
    if _TOKEN.fullmatch(token) is None:
        what = "holds more than printable ASCII without blanks" if token else "is empty"
        raise ConfigError(f"the token in {where} {what}", instead=("what `openssl rand -hex 32` prints",))
    return token


def token_in_environment() -> str:
    """Return the token in the environment variable TICKGLASS_TOKEN; "" if the variable is not set.

    Raises:
        ConfigError: see `checked_token`.
    """
    given = os.environ.get(TOKEN_ENV)
    return "" if given is None else checked_token(given, f"${TOKEN_ENV}")


def is_token(given: str, token: str) -> bool:
    """Compare, in a time that does not tell how much of it was right."""
    return hmac.compare_digest(given.encode(), token.encode())


def bears(headers: Mapping[str, str], token: str) -> bool:
    """Return whether a request's headers (names in lower case) carry the token."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return scheme.casefold() == "bearer" and is_token(given.strip(), token)


def is_smuggled(headers: Mapping[str, str], local: str, *, has_token: bool) -> bool:
    """Return whether a page of another site made a browser send this request.

    Without a token, only the loopback address protects the endpoint, so a browser on this
    machine must not pass requests of other sites on: neither under a name that resolves to
    this machine (DNS rebinding), nor as part of another site's page.

    Args:
        headers: of the request, names in lower case.
        local: our address of the connection.
        has_token: whether a token is required.
    """
    site = headers.get("sec-fetch-site", "none")
    if site not in ("none", "same-origin") and headers.get("sec-fetch-mode") != "navigate":
        return True
    if has_token or not is_loopback(local):
        return False
    host = headers.get("host", "")
    match = _HOST.fullmatch(host)
    if match is None:
        return bool(host)
    name = match["six"] or match["name"].rstrip(".").lower()
    return not (name.endswith(".localhost") or is_loopback(name))


def is_loopback(name: str) -> bool:
    """Return whether a host, by name or address, is the loopback of this machine."""
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
