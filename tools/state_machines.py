"""Draw the state machines from their tables: `python tools/state_machines.py docs/state-machines.md`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tickglass.sched.lease import LOCK_TRANSITIONS
from tickglass.sched.lifecycle import SCHEDULER_TRANSITIONS
from tickglass.sched.occurrence import ENDINGS, OCCURRENCE_TRANSITIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HEAD = """\
# State machines

Generated from the tables in `sched/` by `make generate`; do not edit. Every arrow is one move through the machine's
only door, and each move is one event: one increment of a counter, one event on a span, one line of the debug log.
"""


def _drawn(title: str, where: str, table: Mapping[tuple[Any, Any], Any], start: str) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"`{where}`\n"
    yield "```mermaid\nstateDiagram-v2"
    yield f"    [*] --> {start}"
    for (before, event), after in table.items():
        yield f"    {before} --> {after}: {event}"
    yield "```\n"


def page() -> str:
    """Return the whole page."""
    lines = [_HEAD]
    lines += _drawn("A lock, as one party sees it", "sched/lease.py", LOCK_TRANSITIONS, "idle")
    lines += _drawn("An occurrence", "sched/occurrence.py", OCCURRENCE_TRANSITIONS, "new")
    lines.append("It ends with exactly one outcome; which ones are possible depends on how far it came:\n")
    lines.append("| From | Outcomes |\n|---|---|")
    lines += [f"| {state} | {', '.join(sorted(outcomes))} |" for state, outcomes in ENDINGS.items()]
    lines.append("")
    lines += _drawn("A scheduler", "sched/lifecycle.py", SCHEDULER_TRANSITIONS, "new")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
