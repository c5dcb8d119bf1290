"""The options that say who may act through a sidecar."""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.core import ParameterSource

from tickglass.sched.errors import ConfigError
from tickglass.telemetry.endpoint.access import checked_token
from tickglass.telemetry.endpoint.operators import Operators

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OPERATOR_TOKEN_ENV", "operator_options"]

OPERATOR_TOKEN_ENV: Final = "TICKGLASS_OPERATOR_TOKEN"  # noqa: S105 - the name of the variable, not what it holds
_HEADER: Final = re.compile(r"[A-Za-z0-9-]+", re.ASCII)

F = TypeVar("F", bound="Callable[..., Any]")


def operator_options(command: F) -> F:
    """Add the options to a command, which is called with `operators`: who may act; None: nobody."""

    @functools.wraps(command)
    def called(
        *,
        allow_control: bool,
        operator_token: str,
        user_header: str,
        proxies: tuple[str, ...],
        names: str,
        **rest: Any,  # noqa: ANN401 - the command's own
    ) -> Any:  # noqa: ANN401
        given = Operators(
            token=operator_token,
            header=user_header,
            proxies=proxies,
            names=frozenset(filter(None, (name.strip() for name in names.split(",")))),
        )
        return command(operators=_checked(given, allow_control=allow_control), **rest)

    decorated: Any = called
    for decorate in (
        click.option("--operators", "names", metavar="NAMES", default="", help="The proxy's users who may act: a,b."),
        click.option(
            "--trusted-proxy",
            "proxies",
            metavar="ADDRESS",
            multiple=True,
            help="Address of a proxy that names its users; repeatable.",
        ),
        click.option(
            "--trusted-user-header",
            "user_header",
            metavar="NAME",
            default="",
            help="The header in which it does, such as X-Forwarded-User.",
        ),
        click.option(
            "--operator-token",
            metavar="TEXT",
            envvar=OPERATOR_TOKEN_ENV,
            default="",
            callback=_checked_token,
            help=f"The token that operators must send. Better: ${OPERATOR_TOKEN_ENV}.",
        ),
        click.option("--allow-control", is_flag=True, help="Let operators act on the stores."),
    ):
        decorated = decorate(decorated)
    found: F = decorated
    return found


def _checked_token(context: click.Context, parameter: click.Parameter, given: str) -> str:
    source = context.get_parameter_source(parameter.name or "")
    if source is ParameterSource.DEFAULT:
        return given
    return checked_token(
        given, f"${OPERATOR_TOKEN_ENV}" if source is ParameterSource.ENVIRONMENT else "--operator-token"
    )


def _checked(given: Operators, *, allow_control: bool) -> Operators | None:
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
