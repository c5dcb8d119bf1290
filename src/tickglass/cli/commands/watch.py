"""Watch all schedulers and stores from a terminal: `tickglass watch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.live import Live

from tickglass.cli.sidecar_client import Unanswered, asks_a_sidecar, view_from
from tickglass.cli.watch_screen import picture_of
from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, duration_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from tickglass.sched.clock import Clock
    from tickglass.telemetry.sidecar.view import View

__all__ = ["Watching", "watch"]

_MIN_NS: Final = 200 * MS
_PIPED_WIDTH: Final = 1_000  # nothing is folded for a program that reads lines


class Watching:
    """The latest view, and what came in the way of a newer one.

    Args:
        ask: returns a view; may raise `Unanswered`.
    """

    def __init__(self, ask: Callable[[], View]) -> None:
        self._ask = ask
        self.view = ask()
        self.trouble = ""

    def again(self) -> None:
        """Ask again; without an answer the latest view stays, and the picture says so."""
        try:
            self.view, self.trouble = self._ask(), ""
        except Unanswered as error:
            self.trouble = f"this is the last that was heard: {error.message}"


@click.command(short_help="Watch jobs, locks and schedulers in a terminal.")
@asks_a_sidecar
@click.option("--every", default="1s", show_default=True, metavar="DURATION", help="How often to ask.")
@click.option("--once", is_flag=True, help="Draw one whole picture and end; so it does without a terminal, too.")
def watch(sidecar_url: str, token: str, every: str, *, once: bool) -> None:
    """Watch what a sidecar's page shows, in a terminal; Ctrl-C ends it.

    First what is wrong, the worst at the top. Locks: who holds them, for how
    long, how long that is allowed, and who waits. Jobs: when they are due, what
    they do now, their last outcomes (a letter each, oldest first), how late
    they start, and why something is not well. Those in trouble come first; of
    what does not fit, it says how much it is.

    Looking changes nothing. A sidecar that stops answering is said so, with the
    last picture left as it was.
    """
    every_ns = duration_ns(every, what="--every", min_ns=_MIN_NS)
    watching = Watching(lambda: view_from(sidecar_url, token))
    console = Console(highlight=False)

    def picture(width: int | None = None, height: int | None = None) -> RenderableType:
        of = f"tickglass watch · {sidecar_url}"
        return picture_of(watching.view, of=of, trouble=watching.trouble, width=width, height=height)

    if not console.is_terminal:
        console.width = _PIPED_WIDTH
        console.print(picture())
        return
    if once:
        console.print(picture(console.width))
        return
    with Live(get_renderable=lambda: picture(*console.size), console=console, auto_refresh=False, screen=True) as live:
        keep_drawing(watching, SystemClock(), every_ns, live.refresh)


def keep_drawing(watching: Watching, clock: Clock, every_ns: int, draw: Callable[[], None]) -> None:
    """Ask and draw, again and again, until interrupted."""
    never = Wake()
    try:
        while True:
            draw()
            clock.wait(clock.monotonic_ns() + every_ns, never)
            watching.again()
    except KeyboardInterrupt:
        return
