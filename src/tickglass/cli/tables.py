"""Print a table of what a store contains, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tickglass.cli.text import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["print_table"]

_PIPED_WIDTH: Final = 1_000  # programs that read lines get each row on one line
_NARROWEST: Final = 112  # on a narrower terminal the lines wrap, which is better than empty columns
_WHOLE: Final = frozenset({"due", "next due", "last due", "outcome"})  # never folded, nor is a number


def print_table(
    what: str, headings: Sequence[str], rows: Sequence[Sequence[str | Text]], *, numbers: Collection[int] = ()
) -> None:
    """Print rows for people: to a terminal as wide as it is, to a program each on one line."""
    if not rows:
        click.echo(f"no {what}", err=True)
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for position, heading in enumerate(headings):
        number = position in numbers
        whole = number or heading in _WHOLE
        justify: Literal["left", "right"] = "right" if number else "left"
        table.add_column(heading, overflow="fold", no_wrap=whole, min_width=None if whole else 8, justify=justify)
    for row in rows:
        # As Text, because a job may have the name "[red]", which is not markup here.
        table.add_row(*(cell if isinstance(cell, Text) else Text(shown(cell)) for cell in row))
    console = Console(highlight=False)
    console.width = max(console.width, _NARROWEST) if console.is_terminal else _PIPED_WIDTH
    console.print(table)
