"""Turn a program for APScheduler 3 into a jobs file, by reading its code.

Pure: the code is parsed and never executed, and nothing is imported. Job stores hold pickled jobs, and are not read.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tickglass.importing.apscheduler_calls import JobReader, Settings, calls_of
from tickglass.importing.jobs_text import Draft, Imported, Kept, imported
from tickglass.importing.literals import CannotSay, Values
from tickglass.importing.names import unique
from tickglass.importing.targets import Targets
from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers.zones import zone_named

if TYPE_CHECKING:
    from tickglass.importing.apscheduler_calls import Call

__all__ = ["read_apscheduler"]

_NOTES: Final = (
    "Jobs from a program for APScheduler; each target must be under a prefix that Scheduler.load gets in targets=.",
    "A function whose first parameter is not among the arguments of its job gets the run there.",
    "An interval counts from 1970 unless its start_date was given. A late run may start within misfire_grace, which is",
    "one interval and at most 60 s if not said (APScheduler: 1 s). docs/triggers.md has the rules for clock changes.",
)
_ZONE_UNKNOWN: Final = (
    "without timezone=, APScheduler goes by the clock of its machine, and the zone of that clock is not in the file:"
    " these triggers are in UTC; import with --tz ZONE"
)


def read_apscheduler(text: str, *, module: str, tz: str | None = None) -> Imported:
    """Return the jobs file that says what a program says to APScheduler.

    Args:
        text: the program.
        module: its dotted name, as other programs import it.
        tz: the zone of the machine: that of triggers which name none.

    Raises:
        ConfigError: it is no Python, or there is no such zone.
    """
    if tz is not None:
        zone_named(tz)
    tree = _parsed(text)
    values, lines = Values(tree), text.splitlines()
    settings = Settings(tree, values, tz)
    reader = JobReader(values, Targets(tree, module), settings)
    entries: list[Draft | Kept] = list(settings.kept)
    for call in calls_of(tree):
        try:
            entries.append(reader.draft(call))
        except CannotSay as error:
            entries.append(Kept(line=call.line, text=_source(lines, call), remarks=(str(error),), is_job=True))
    entries.sort(key=lambda entry: entry.line)
    names = iter(unique([[entry.name] for entry in entries if isinstance(entry, Draft)]))
    named = [replace(entry, name=next(names)) if isinstance(entry, Draft) else entry for entry in entries]
    return imported(named, notes=_NOTES, remarks=(_ZONE_UNKNOWN,) if reader.zone_is_missing else ())


def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = error.text.rstrip("\n") if isinstance(error, SyntaxError) and error.text else None
        where = f"line {error.lineno} is no Python" if isinstance(error, SyntaxError) else "this is no Python"
        raise ConfigError(f"{where}: {error.args[0]}", given=line) from error


def _source(lines: list[str], call: Call) -> str:
    shown = lines[call.line - 1 : call.end_line]
    indent = min((len(line) - len(line.lstrip()) for line in shown if line.strip()), default=0)
    return "\n".join(line[indent:] for line in shown)
