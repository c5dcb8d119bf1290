"""Decide where an HTTP endpoint listens: at the port that was asked for, or at the first free one from the default on.

Two processes of one program have the same configuration, so a port that nobody chose must not end the second process.
A port that was chosen is scraped by somebody: there the second process is refused before it starts a job.
"""

from __future__ import annotations

import errno
import logging
import re
from typing import TYPE_CHECKING, Final

from tickglass.sched.errors import ConfigError
from tickglass.telemetry.endpoint.listener import listening

if TYPE_CHECKING:
    import socket

__all__ = ["DEFAULT_LISTEN", "DEFAULT_PORT", "SIDECAR_PORT", "listening_at", "parse_listen", "url_at"]

DEFAULT_LISTEN: Final = "localhost"
DEFAULT_PORT: Final = 9464  # the port that OpenTelemetry registered for Prometheus exporters
SIDECAR_PORT: Final = 9463  # below the ports of schedulers, so that neither takes the other's
PORTS_TRIED: Final = 100
PORT_MAX: Final = 65_535

_log: Final = logging.getLogger(__name__)
_HOST: Final = r"(?:\[(?P<six>[^\[\]]+)\]|(?P<host>[^:\[\]]*))"
_LISTEN: Final = re.compile(rf"{_HOST}:(?P<port>[0-9]{{1,9}})")
_HOST_ALONE: Final = re.compile(r"\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>(?=.*[.A-Za-z])[0-9A-Za-z][0-9A-Za-z.-]*)")
_RIGHT: Final = ('"localhost"', '":9464"', '"127.0.0.1:9464"', '"[::1]:9464"')


def parse_listen(listen: str) -> tuple[str, int | None]:
    """Read an address to listen on.

    Args:
        listen: "host:port"; without a host, all interfaces; port 0: any that is free. Or a host alone.

    Returns:
        Host ("" for all interfaces) and port; None if the text names none.

    Raises:
        ConfigError: it has another form.
    """
    text = listen if isinstance(listen, str) else ""
    match = _LISTEN.fullmatch(text)
    if match is None:
        alone = _HOST_ALONE.fullmatch(text)
        if alone is None:
            raise ConfigError("an address to listen on is host:port, or a host", given=str(listen), instead=_RIGHT)
        return alone["six"] or alone["host"], None
    port = int(match["port"])
    if port > PORT_MAX:
        raise ConfigError(f"a port is at most {PORT_MAX}", given=listen, span=match.span("port"), instead=_RIGHT)
    return match["six"] or match["host"] or "", port


def listening_at(listen: str) -> socket.socket:
    """Return a socket that listens there; without a port, at the first free one from the default port on.

    Raises:
        ConfigError: the address is malformed, or cannot be listened on; the message names it.
    """
    host, port = parse_listen(listen)
    try:
        return _first_free(host) if port is None else listening(host, port)
    except OSError as error:
        problem = f"cannot listen on this address: {error.strerror or error}"
        instead: tuple[str, ...] = _RIGHT
        if error.errno == errno.EADDRINUSE and port is not None:
            problem += "; without a port, the first free one is taken"
            before = listen.rpartition(":")[0]
            instead = (f'"{before or DEFAULT_LISTEN}"', f'"{before}:{port + 1}"')
        raise ConfigError(problem, given=listen, instead=instead) from error


def _first_free(host: str) -> socket.socket:
    """Return a listening socket, and say in the log if it does not have the default port.

    Raises:
        OSError: the host cannot be listened on, or too many ports are in use.
    """
    for port in range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED - 1):
        try:
            found = listening(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        if port != DEFAULT_PORT:
            _log.warning("port %d is in use on %s, so %d is used instead", DEFAULT_PORT, host, port)
        return found
    return listening(host, DEFAULT_PORT + PORTS_TRIED - 1)


def url_at(host: str, port: int) -> str:
    """Return the URL by which a browser on this machine reaches the endpoint."""
    name = host if host not in ("", "0.0.0.0", "::") else "localhost"  # noqa: S104 - compared only
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
