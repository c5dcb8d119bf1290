"""Fetch the view of a running sidecar: `/view.json` over HTTP, with its token."""

from __future__ import annotations

import gzip
import http.client
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import click
import msgspec
from click.core import ParameterSource

from tickglass.cli.envvars import variable_checker
from tickglass.cli.lazy_group import EXIT_UNAVAILABLE
from tickglass.cli.text import lines_shown
from tickglass.sched.errors import ConfigError
from tickglass.sched.stores.redaction import RedactedText
from tickglass.telemetry.endpoint.access import TOKEN_ENV, checked_token
from tickglass.telemetry.endpoint.address import SIDECAR_PORT
from tickglass.telemetry.sidecar.view import View

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SIDECAR_URL", "Unreachable", "fetch_view", "sidecar_options", "token_option"]

F = TypeVar("F", bound="Callable[..., Any]")

SIDECAR_URL: Final = f"http://127.0.0.1:{SIDECAR_PORT}"
_PATIENCE_S: Final = 5.0
_ANSWER_MAX: Final = 256 * 1024 * 1024  # bytes: a view of a thousand jobs with full histories is an eighth of it
_decoder: Final = msgspec.json.Decoder(View)


class Unreachable(click.ClickException):
    """The sidecar or store did not answer, or sent an invalid answer."""

    exit_code = EXIT_UNAVAILABLE

    def format_message(self) -> str:
        """See `click.ClickException`."""
        return lines_shown(self.message)


def token_option(metavar: str, words: str) -> Callable[[F], F]:
    """Return a decorator that adds the option `--token` to a command; an invalid token is refused, and never shown."""
    return click.option("--token", metavar=metavar, envvar=TOKEN_ENV, default="", help=words, callback=_checked_token)


def _checked_token(context: click.Context, parameter: click.Parameter, given: str) -> str:
    source = context.get_parameter_source(parameter.name or "")
    if source is ParameterSource.DEFAULT:
        return given
    return checked_token(given, f"${TOKEN_ENV}" if source is ParameterSource.ENVIRONMENT else "--token")


def sidecar_options(command: F) -> F:
    """Add the options that choose a sidecar to a command."""
    for decorate in (
        token_option("TOKEN", "The sidecar's token, if it has one. Default: $TICKGLASS_TOKEN."),
        click.option(
            "--sidecar",
            "sidecar_url",
            metavar="URL",
            envvar="TICKGLASS_SIDECAR_URL",
            default=SIDECAR_URL,
            callback=variable_checker(checked_url),
            show_default=True,
            help="The sidecar's URL. Default: $TICKGLASS_SIDECAR_URL, or this machine's sidecar.",
        ),
    ):
        command = decorate(command)
    return command


def fetch_view(url: str, token: str = "") -> View:
    """Return a sidecar's present view.

    Raises:
        ConfigError: the URL is not one of a sidecar, or the token is wrong.
        Unreachable: there is no answer, or it is not from a sidecar.
    """
    checked_url(url)
    headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"{url.rstrip('/')}/view.json", headers=headers)  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:  # noqa: S310 - likewise
            body = answer.read(_ANSWER_MAX)
            packed = answer.headers.get("Content-Encoding") == "gzip"
        return _decoder.decode(gzip.decompress(body) if packed else body)
    except urllib.error.HTTPError as error:
        raise _refusal(url, token, error) from error
    except (msgspec.DecodeError, EOFError) as error:
        raise Unreachable(f"what answers at {url} is no sidecar of this version: {error}") from error
    except (OSError, http.client.HTTPException) as error:  # URLError is one
        reason = getattr(error, "reason", None) or error
        raise Unreachable(f"no sidecar answers at {url}: {reason}; `tickglass sidecar` starts one") from error


def checked_url(url: str) -> None:
    """Refuse a URL that cannot be a sidecar's.

    Raises:
        ConfigError: with the right spelling.
    """
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        right = right and not parts.query
    except ValueError:  # a port that is no number, say
        right = False
    seen = RedactedText(url, lambda _: ()).text
    if "@" in url:
        problem = f"a sidecar's URL contains no user and no password; --token and {TOKEN_ENV} are for that"
        raise ConfigError(problem, given=seen, instead=(SIDECAR_URL,))
    if not right:
        near = f"http://{seen}" if "://" not in url and url else SIDECAR_URL
        raise ConfigError("a sidecar's URL is http:// or https://, a host and a port", given=seen, instead=(near,))


def _refusal(url: str, token: str, error: urllib.error.HTTPError) -> Exception:
    if error.code in (401, 403):
        problem = "the sidecar refused this token" if token else "the sidecar requires a token"
        return ConfigError(problem, given=url, instead=("--token TOKEN", "TICKGLASS_TOKEN=TOKEN"))
    return Unreachable(f"what answers at {url} is no sidecar: {error.code} {error.reason} at /view.json")
