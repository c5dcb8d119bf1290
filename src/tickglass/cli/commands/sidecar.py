"""`tickglass sidecar`: receive events of schedulers, read stores, and show both."""

from __future__ import annotations

import functools
import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from tickglass.cli.envvars import variable_checker
from tickglass.cli.sidecar_client import token_option
from tickglass.cli.stores import LazyStore
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND, duration_ns
from tickglass.sched.errors import ConfigError
from tickglass.sched.stores import redacted_url
from tickglass.signals import StopSignals
from tickglass.telemetry.endpoint.access import checked_token, is_loopback
from tickglass.telemetry.endpoint.address import SIDECAR_PORT, parse_listen, url_at
from tickglass.telemetry.endpoint.exposition import encode
from tickglass.telemetry.endpoint.operators import OPERATOR_TOKEN_ENV, Operators, checked_operators
from tickglass.telemetry.endpoint.run_links import parse_run_link
from tickglass.telemetry.logs import configure_logging
from tickglass.telemetry.sidecar.collector import SidecarCollector, sidecar_registry, unready
from tickglass.telemetry.sidecar.merge.merge import view_of
from tickglass.telemetry.sidecar.schedulers.receiver import Receiver
from tickglass.telemetry.sidecar.schedulers.sources import Sources
from tickglass.telemetry.sidecar.stores.probe import Probe
from tickglass.telemetry.sidecar.transport.socket_path import default_path, path_of, url_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tickglass.sched.clock import Clock
    from tickglass.telemetry.endpoint.run_links import RunLink
    from tickglass.telemetry.sidecar.view import View
    from tickglass.telemetry.sidecar.web import SidecarServer

__all__ = ["sidecar"]

_LEVELS: Final = ("debug", "info", "warning", "error")
_EXTRA: Final = frozenset({"jinja2", "starlette", "uvicorn"})
F = TypeVar("F", bound="Callable[..., Any]")
_log: Final = logging.getLogger("tickglass.sidecar")


class PageOptions(NamedTuple):
    """Who may look at the page, who may act, and where each run links to."""

    token: str
    operators: Operators | None
    links: Sequence[RunLink]


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
        return command(operators=checked_operators(given, allow_control=allow_control), **rest)

    decorated: Any = called
    for decorate in (
        click.option("--operators", "names", metavar="NAMES", default="", help="The proxy's users who may act: a,b."),
        click.option(
            "--trusted-proxy",
            "proxies",
            metavar="ADDRESS",
            multiple=True,
            help="Address of a proxy that is trusted to do so; repeatable.",
        ),
        click.option(
            "--trusted-user-header",
            "user_header",
            metavar="NAME",
            default="",
            help="The header in which a trusted proxy names its user, such as X-Forwarded-User.",
        ),
        click.option(
            "--operator-token",
            metavar="TEXT",
            envvar=OPERATOR_TOKEN_ENV,
            default="",
            callback=_checked_operator_token,
            help=f"The token that operators must send. Better: ${OPERATOR_TOKEN_ENV}.",
        ),
        click.option("--allow-control", is_flag=True, help="Let operators act on the stores."),
    ):
        decorated = decorate(decorated)
    found: F = decorated
    return found


def _checked_operator_token(context: click.Context, parameter: click.Parameter, given: str) -> str:
    source = context.get_parameter_source(parameter.name or "")
    if source is ParameterSource.DEFAULT:
        return given
    return checked_token(
        given, f"${OPERATOR_TOKEN_ENV}" if source is ParameterSource.ENVIRONMENT else "--operator-token"
    )


@click.command(short_help="Watch schedulers from beside them: metrics, readiness, a page.")
@click.option("--socket", "place", metavar="PATH", help="Where schedulers connect. By default as below.")
@click.option(
    "--store",
    "urls",
    metavar="URL",
    multiple=True,
    envvar="TICKGLASS_STORE",
    callback=variable_checker(lambda urls: [LazyStore(url, SystemClock()) for url in urls]),
    help="A store to read; repeatable.",
)
@click.option(
    "--listen",
    metavar="ADDRESS",
    default=f"127.0.0.1:{SIDECAR_PORT}",
    show_default=True,
    help="Where to answer, as host:port.",
)
@token_option("TEXT", "The token that clients must send. Better: $TICKGLASS_TOKEN.")
@operator_options
@click.option(
    "--run-link", "links", metavar="NAME=URL", multiple=True, help="A link on the page of each run; repeatable."
)
@click.option("--probe-every", metavar="TIME", default="5s", show_default=True, help="How often to read the stores.")
@click.option("--log-format", type=click.Choice(["console", "json"]), default="console", show_default=True)
@click.option("--log-level", type=click.Choice(_LEVELS), default="info", show_default=True)
def sidecar(
    place: str | None,
    urls: tuple[str, ...],
    listen: str,
    token: str,
    operators: Operators | None,
    links: tuple[str, ...],
    probe_every: str,
    log_format: str,
    log_level: str,
) -> None:
    """Watch schedulers from a process beside them, until SIGTERM or Ctrl-C.

    Schedulers of this user on this host tell it what happens, over a socket:

    \b
        TICKGLASS_SIDECAR=unix:///run/tickglass.sock tickglass run app:scheduler

    Prometheus scrapes it at /metrics instead of them: a scrape does not delay
    them, and a frozen or dead scheduler is still visible. A page for people
    is at /, and /readyz says whether the data can be relied on.

    With --store (or $TICKGLASS_STORE) it also reads the leases and the ledger
    itself, to show locks whose holder is dead or cut off. Probes change
    nothing, and a store need not be there yet.

    PATH is $XDG_RUNTIME_DIR/tickglass.sock by default, or /run/tickglass.sock
    where that can be written; its file is for this user alone. ADDRESS is on
    this machine only by default; ":9463" listens on all interfaces. With a
    token (better in $TICKGLASS_TOKEN than here, where others can read it), who
    looks must bring it: Authorization: Bearer TOKEN.

    It is read-only, unless --allow-control lets operators act on what the stores
    hold: on the page, and over /api/v1. Operators have a token of their own
    (better in $TICKGLASS_OPERATOR_TOKEN), or are users whom a proxy names.
    """  # noqa: D301 - \b is for click: the lines after it stay as they are
    configure_logging(log_format, log_level)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # we log start and stop ourselves
    if operators is not None and token and operators.token == token:
        raise ConfigError("operators need a token of their own: everybody who may look could act with this one")
    clock = SystemClock()
    path = default_path() if place is None else path_of(place if "://" in place else url_of(place))
    every_ns = duration_ns(probe_every, what="--probe-every", min_ns=SECOND // 10)
    host, _ = parse_listen(listen)
    page = PageOptions(token, operators, tuple(parse_run_link(link) for link in links))
    stores = {redacted_url(url): LazyStore(url, clock) for url in urls}
    with ExitStack() as undo, StopSignals() as signals:
        for store in stores.values():
            undo.callback(store.close)
        server = _started(path, stores, listen, page, every_ns, clock, undo)
        click.echo(f"{url_at(host, server.port)}/ shows it, /metrics is for Prometheus")
        click.echo(f"schedulers connect with TICKGLASS_SIDECAR={url_of(path)}")
        if not is_loopback(host) and not token:
            _log.warning("every client that reaches %s sees jobs, owners and errors; --token restricts that", listen)
        signals.wait()


def _started(
    path: str,
    stores: Mapping[str, LazyStore],
    listen: str,
    page: PageOptions,
    every_ns: int,
    clock: Clock,
    undo: ExitStack,
) -> SidecarServer:
    """Start everything, and register in `undo` how to stop it."""
    try:
        from tickglass.telemetry.sidecar.web import Desks, SidecarServer, sidecar_app  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        needed = (error.name or "").partition(".")[0]
        if needed not in _EXTRA:
            raise
        raise ConfigError(f"the sidecar needs {needed}", instead=("pip install 'tickglass[sidecar]'",)) from error

    sources = Sources(clock)
    probe = Probe(stores, clock=clock, every_ns=every_ns)
    registry = sidecar_registry(SidecarCollector(sources, clock=clock, snapshots=probe.snapshots))

    def view() -> View:
        return view_of(sources.all(), probe.snapshots(), clock.reading())

    app = sidecar_app(
        view,
        lambda accept: encode(registry, accept),
        lambda: unready(sources, probe.snapshots(), clock),
        token=page.token,
        operators=page.operators,
        desks=Desks({name: store.opened for name, store in stores.items()}, probe.hurry),
        links=page.links,
    )
    server = SidecarServer(listen, app)
    receiver = Receiver(path, sources, clock=clock)
    receiver.start()
    undo.callback(receiver.stop)
    probe.start()
    undo.callback(probe.stop)
    server.start()
    undo.callback(server.stop)
    return server
