"""Watch all schedulers and stores from a terminal: `tickglass watch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.live import Live

from tickglass.cli.sidecar_client import Unreachable, fetch_view, sidecar_options
from tickglass.cli.watch_screen import screen_of
from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, duration_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from tickglass.sched.clock import Clock
    from tickglass.telemetry.sidecar.view import View

__all__ = ["ViewPoller", "watch"]

_MIN_NS: Final = 200 * MS
_PIPED_WIDTH: Final = 1_000  # programs that read lines get each row on one line


class ViewPoller:
    """The latest view, and why there is no newer one.

    Args:
        ask: returns a view; may raise `Unreachable`.
    """

    def __init__(self, ask: Callable[[], View]) -> None:
        self._ask = ask
        self.view = ask()
        self.problem = ""

    def poll(self) -> None:
        """Fetch a new view; without an answer the latest one stays, and the screen says so."""
        try:
            self.view, self.problem = self._ask(), ""
        except Unreachable as error:
            self.problem = f"this is the last answer: {error.message}"


@click.command(short_help="Watch jobs, locks and schedulers in a terminal.")
@sidecar_options
@click.option("--every", default="1s", show_default=True, metavar="DURATION", help="How often to ask.")
@click.option("--once", is_flag=True, help="Print everything once and exit; also the behaviour without a terminal.")
def watch(sidecar_url: str, token: str, every: str, *, once: bool) -> None:
    """Watch a sidecar's view in a terminal; Ctrl-C ends it.

    Problems come first, the worst at the top. Locks: who holds them, for how
    long, how long they may, and who waits. Jobs: when they are due, what
    they do now, their last outcomes (a letter each, oldest first), how late
    they start, and why something is wrong. Jobs with problems come first; if
    some rows do not fit, the last line counts them.

    This changes nothing. If the sidecar stops answering, the screen says so and
    keeps the last data.
    """
    every_ns = duration_ns(every, what="--every", min_ns=_MIN_NS)
    poller = ViewPoller(lambda: fetch_view(sidecar_url, token))
    console = Console(highlight=False)

    def screen(width: int | None = None, height: int | None = None) -> RenderableType:
        of = f"tickglass watch · {sidecar_url}"
        return screen_of(poller.view, of=of, problem=poller.problem, width=width, height=height)

    if not console.is_terminal:
        console.width = _PIPED_WIDTH
        console.print(screen())
        return
    if once:
        console.print(screen(console.width))
        return
    with Live(get_renderable=lambda: screen(*console.size), console=console, auto_refresh=False, screen=True) as live:
        poll_and_draw(poller, SystemClock(), every_ns, live.refresh)


def poll_and_draw(poller: ViewPoller, clock: Clock, every_ns: int, draw: Callable[[], None]) -> None:
    """Fetch and draw repeatedly, until interrupted."""
    never = Wake()
    try:
        while True:
            draw()
            clock.wait(clock.monotonic_ns() + every_ns, never)
            poller.poll()
    except KeyboardInterrupt:
        return
