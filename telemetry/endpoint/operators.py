"""Say who may act over HTTP, and refuse what would let nobody act.

Pure.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["OPERATOR_TOKEN_ENV", "Operators", "checked_operators"]

OPERATOR_TOKEN_ENV: Final = "TICKGLASS_OPERATOR_TOKEN"  # noqa: S105 - the name of the variable, not what it holds
_HEADER: Final = re.compile(r"[A-Za-z0-9-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """Who may act.

    Args:
        token: that operators send; "" for none.
        header: where a trusted proxy names its user; "" for none.
        proxies: addresses of proxies that are trusted to.
        names: users of the proxy who are operators; its other users are viewers.
    """

    token: str = ""
    header: str = ""
    proxies: Collection[str] = ()
    names: Collection[str] = ()


def checked_operators(given: Operators, *, allow_control: bool) -> Operators | None:
    """Return who may act; None: nobody.

    Raises:
        ConfigError: nobody could act though it is allowed, operators are named though it is not, or a value is wrong.
    """
    if not allow_control:
        if given != Operators(names=frozenset()):
            raise ConfigError("operators are named, but nobody may act", instead=("--allow-control",))
        return None
    if not given.token and not (given.header and given.proxies and given.names):
        raise ConfigError(
            "nobody could act: say who the operators are",
            instead=(
                f"{OPERATOR_TOKEN_ENV}=TOKEN",
                "--trusted-user-header X-Forwarded-User --trusted-proxy 127.0.0.1 --operators anna,bob",
            ),
        )
    if bool(given.header) != bool(given.proxies) or (given.names and not given.header):
        raise ConfigError("a proxy is trusted by --trusted-user-header, --trusted-proxy and --operators together")
    if given.header and not _HEADER.fullmatch(given.header):
        raise ConfigError("this is no header's name", given=given.header, instead=("X-Forwarded-User",))
    for address in given.proxies:
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise ConfigError("a trusted proxy is an IP address", given=address, instead=("127.0.0.1",)) from error
    return given
