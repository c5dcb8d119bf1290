"""Turn a crontab into a jobs file.

Pure. What cannot be said the same way stays as a comment with a remark; nothing is left out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from tickglass.importing.crontab_lines import JobLine, Other, Variable, has_users, lines_of, split_input
from tickglass.importing.jobs_text import Draft, Imported, Kept, imported
from tickglass.importing.names import names_of_command, unique
from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers import cron
from tickglass.sched.triggers.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read_crontab"]

_SHELL: Final = "/bin/sh"
_NOTES: Final = (
    "Jobs from a crontab. cron starts each command in the home folder of its user, with PATH=/usr/bin:/bin;",
    "a scheduler starts it in its own folder, with its own environment. Output goes to its log and is not mailed.",
)
_ZONE_UNKNOWN: Final = (
    "cron goes by the clock of its machine, and the zone of that clock is not in the file: these triggers are in UTC;"
    " import with --tz ZONE"
)
_ALSO: Final = {"@every_minute": "* * * * *"}  # FreeBSD
# Variables that are for cron itself, and are not put into the environment of a command.
_FOR_CRON: Final = frozenset({"SHELL", "CRON_TZ", "RANDOM_DELAY", "MAILTO", "MAILFROM"})
_END: Final = "END_OF_INPUT"
_SHELLS: Final = frozenset({"ash", "bash", "dash", "ksh", "sh", "zsh"})
_ODD_SHELL: Final = "what follows the % is a here-document of the POSIX shell, which this shell may not know"


def read_crontab(text: str, *, system: bool | None = None, tz: str | None = None) -> Imported:
    """Return the jobs file that says what a crontab says.

    Args:
        text: the crontab.
        system: whether it has a column for the user, as /etc/crontab; None: it has if that is certain.
        tz: the zone of lines that name none.

    Raises:
        ConfigError: there is no such zone.
    """
    if tz is not None:
        zone_named(tz)
    reading = _Reading(tz)
    if system is None:
        system = has_users(lines_of(text, system=False))
    for line in lines_of(text, system=system):
        match line:
            case Variable():
                reading.set(line)
            case JobLine():
                reading.add(line)
            case Other():
                reading.keep(line)
    remarks = (_ZONE_UNKNOWN,) if reading.zone_is_missing else ()
    return imported(reading.named(), notes=_NOTES, remarks=remarks)


class _Reading:
    """What has been read so far; variables are valid for the lines below them."""

    def __init__(self, tz: str | None) -> None:
        self.entries: list[Draft | Kept] = []
        self.zone_is_missing = False
        self._tz = tz
        self._variables: dict[str, str] = {}
        self._names: list[Sequence[str]] = []  # to choose from, a row for each draft

    def set(self, line: Variable) -> None:
        """Note a variable; it stays as a comment."""
        self._variables[line.name] = line.value
        remark = _about_variable(line.name, line.value, zoned="CRON_TZ" in self._variables)
        self.entries.append(Kept(line=line.number, text=line.text, remarks=(remark,) if remark else ()))

    def add(self, line: JobLine) -> None:
        """Add a job, or a comment with the reason why there is none."""
        why = _unsayable(line.when)
        if why is None:
            try:
                trigger = self._trigger(line.when)
            except ConfigError as error:
                why = error.problem + (f"; perhaps {' or '.join(error.instead)}" if error.instead else "")
        if why is not None:
            self.entries.append(Kept(line=line.number, text=line.text.strip(), remarks=(why,), is_job=True))
            return
        self.zone_is_missing = self.zone_is_missing or self._zone is None
        command, remarks = self._command(line)
        self._names.append(names_of_command(split_input(line.command)[0]))
        self.entries.append(Draft(name="", line=line.number, trigger=trigger, command=command, remarks=remarks))

    def keep(self, line: Other) -> None:
        """Keep a line that says nothing to cron."""
        wrong = ("this is no line of a crontab",) if line.wrong else ()
        self.entries.append(Kept(line=line.number, text=line.text.strip(), remarks=wrong, is_job=line.wrong))

    def named(self) -> list[Draft | Kept]:
        """Return all entries; the jobs have names."""
        names = iter(unique(self._names))
        return [replace(entry, name=next(names)) if isinstance(entry, Draft) else entry for entry in self.entries]

    @property
    def _zone(self) -> str | None:
        return self._variables.get("CRON_TZ") or self._variables.get("TZ") or self._tz

    def _trigger(self, when: str) -> str:
        delay = self._variables.get("RANDOM_DELAY", "0")
        jitter = f"{delay}m" if delay.isdecimal() and int(delay) else None
        return str(cron(_ALSO.get(when.lower(), when), tz=self._zone, jitter=jitter))

    def _command(self, line: JobLine) -> tuple[str | list[str], tuple[str, ...]]:
        """Return the command with its shell, environment and input, and what differs."""
        command, given = split_input(line.command)
        if given is not None:
            command = _with_input(command, given)
        shell = self._variables.get("SHELL") or _SHELL
        set_here = [f"{name}={value}" for name, value in self._variables.items() if name not in _FOR_CRON]
        remarks = (
            *((f"cron runs this as user {line.user}; here it runs as the user of the scheduler",) if line.user else ()),
            *(
                ("the - before the times keeps it out of the system's log; here each run is logged",)
                if line.quiet
                else ()
            ),
            *((_ODD_SHELL,) if given is not None and PurePosixPath(shell).name not in _SHELLS else ()),
        )
        if not set_here and shell == _SHELL:
            return command, remarks
        return [*(("/usr/bin/env", *set_here) if set_here else ()), shell, "-c", command], remarks


def _about_variable(name: str, value: str, *, zoned: bool) -> str:
    """Return what differs; "" if it is said the same way.

    Args:
        zoned: whether CRON_TZ names the zone of the times.
    """
    if name in {"MAILTO", "MAILFROM"} and value:
        return "nothing is mailed: the output goes to the log, and a failure has the end of the errors as its detail"
    if name == "HOME":
        return "cron also starts the commands in this folder; here they start in that of the scheduler"
    if name == "TZ" and not zoned:
        return (
            "some crons take TZ for the zone of the times, others (Debian's, cronie) only for that of the command;"
            " here it is both"
        )
    if name == "RANDOM_DELAY" and not value.isdecimal():
        return "this is no number of minutes"
    return ""


def _unsayable(when: str) -> str | None:
    """Return why these times cannot be said, although our own cron would accept them; None: they can."""
    if when.lower() == "@reboot":
        return "@reboot names no instant: start it with the machine, or from the program that starts the scheduler"
    fields = when.split()
    if len(fields) < 5:
        return None
    day, weekday = fields[2], fields[4]
    if "*" not in {day, weekday} and (day.startswith("*") or weekday.startswith("*")):
        return (
            "in cron a day must match both day fields if one of them begins with *; here it must match one of the two,"
            " so it would be due on other days"
        )
    return None


def _with_input(command: str, lines: Sequence[str]) -> str:
    """Return a shell command whose standard input is these lines."""
    end = _END
    while end in lines:
        end += "_"
    return "\n".join([f"({command}", f") <<'{end}'", *lines, f"{end}\n"])
