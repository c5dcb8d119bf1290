"""Decide what a jobs file declares, and refuse what is wrong in it, at its place.

Pure: nothing is imported and nothing is run. Format: docs/jobs-file.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.errors import ConfigError, nearest
from tickglass.sched.job import checked_name
from tickglass.sched.triggers.text import read_trigger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tickglass.jobs_file.source import Keys, Source
    from tickglass.sched.triggers import Trigger

__all__ = ["POLICIES", "JobEntry", "read_entries"]

POLICIES: Final[Mapping[str, type]] = {
    "resource": str,
    "ttl": str,
    "timeout": str,
    "misfire_grace": str,
    "renew": bool,
    "rerun_orphaned": bool,
    "on_outage": str,
    "on_timeout": str,
    "prefer": str,
}
_TABLES: Final = ("defaults", "jobs")
_JOB_KEYS: Final = ("target", "command", "trigger", "arguments", *POLICIES)
_TYPES: Final[Mapping[type, str]] = {str: "a text in quotes", bool: "true or false", dict: "a table"}
_FORMS: Final = ('target = "billing.jobs:nightly"', 'command = "backup --all"')


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job as the file declares it; exactly one of `target` and `command` is there.

    Args:
        target: "module:function".
        command: a line for the shell, or a command's words.
        arguments: keyword arguments of the target.
        policies: as `declare` takes them, those of [defaults] included.
        set_in: the way to each policy, because an error shows the line that sets it.
    """

    name: str
    trigger: Trigger
    target: str | None
    command: str | tuple[str, ...] | None
    arguments: Mapping[str, Any]
    policies: Mapping[str, Any]
    set_in: Mapping[str, Keys]

    @property
    def keys(self) -> Keys:
        """The way to its table."""
        return ("jobs", self.name)

    @property
    def module(self) -> str:
        """The module of the target; "" of a command."""
        return (self.target or "").partition(":")[0]


def read_entries(source: Source) -> list[JobEntry]:
    """Return the jobs that a file declares, in its order.

    Raises:
        ConfigError: with the file's name and the line; of several errors, the first in the file's order of jobs.
    """
    said = source.parsed()
    _refuse_unknown(source, (), said, _TABLES)
    defaults = _table(source, ("defaults",), said.get("defaults", {}))
    _refuse_unknown(source, ("defaults",), defaults, POLICIES)
    _check_policies(source, ("defaults",), defaults)
    jobs = _table(source, ("jobs",), said.get("jobs", {}))
    return [_entry(source, name, table, defaults) for name, table in jobs.items()]


def _entry(source: Source, name: str, said: object, defaults: Mapping[str, Any]) -> JobEntry:
    keys: Keys = ("jobs", name)
    table = _table(source, keys, said)
    try:
        checked_name(name, "job name")
    except ConfigError as error:
        raise source.wrong(keys, error.problem) from error
    if "name" in table:
        raise source.wrong((*keys, "name"), "a job's name is that of its table", instead=("[jobs.another_name]",))
    _refuse_unknown(source, keys, table, _JOB_KEYS)
    _check_policies(source, keys, table)
    if ("target" in table) == ("command" in table):
        problem = "a job has a target or a command" + (", not both" if "target" in table else "")
        raise source.wrong((*keys, "command"), problem, instead=_FORMS)
    own = {policy: table[policy] for policy in table if policy in POLICIES}
    return JobEntry(
        name=name,
        trigger=_trigger(source, keys, table),
        target=_target(source, keys, table["target"]) if "target" in table else None,
        command=_command(source, keys, table["command"]) if "command" in table else None,
        arguments=_arguments(source, keys, table),
        policies={**defaults, **own},
        set_in={policy: (*keys, policy) if policy in own else ("defaults", policy) for policy in (*defaults, *own)},
    )


def _refuse_unknown(source: Source, keys: Keys, table: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in table:
        if key not in known:
            where = f"[{'.'.join(keys)}]" if keys else "a jobs file"
            near = nearest(key, known) or tuple(known)
            instead = near if keys else tuple(f"[{word}]" if word == "defaults" else "[jobs.NAME]" for word in near)
            raise source.wrong((*keys, key), f"{where} has no key {key}", marked=key, instead=instead)


def _check_policies(source: Source, keys: Keys, table: Mapping[str, Any]) -> None:
    for policy, value in table.items():
        if policy in POLICIES:
            _checked(source, (*keys, policy), value, POLICIES[policy])


def _table(source: Source, keys: Keys, value: object) -> Mapping[str, Any]:
    _checked(source, keys, value, dict)
    return value if isinstance(value, dict) else {}


def _checked(source: Source, keys: Keys, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise source.wrong(keys, f"{keys[-1]} is {_TYPES[kind]}, not {type(value).__name__}")


def _trigger(source: Source, keys: Keys, table: Mapping[str, Any]) -> Trigger:
    at = (*keys, "trigger")
    if "trigger" not in table:
        raise source.wrong(keys, "a job needs a trigger", examples=("""trigger = 'cron("30 2 * * *")'""",))
    text = table["trigger"]
    _checked(source, at, text, str)
    try:
        return read_trigger(text)
    except ConfigError as error:
        raise source.wrong(
            at, error.problem, marked=_marked(error), instead=error.instead, examples=error.examples
        ) from error


def _marked(error: ConfigError) -> str | None:
    """Return the part that an error points at."""
    if error.given is None or error.span is None:
        return error.given
    return error.given[slice(*error.span)]


def _target(source: Source, keys: Keys, said: object) -> str:
    at = (*keys, "target")
    _checked(source, at, said, str)
    target = str(said)
    module, colon, function = target.partition(":")
    if not (colon and function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        problem = "a target is a module, a colon and the name of a function in it"
        raise source.wrong(at, problem, marked=target, examples=_FORMS[:1])
    return target


def _command(source: Source, keys: Keys, said: object) -> str | tuple[str, ...]:
    words = [said] if isinstance(said, str) else said
    if not (isinstance(words, list) and words and all(isinstance(word, str) for word in words) and words[0].strip()):
        problem = "a command is a line for the shell, or a list of words"
        right = ('command = "backup --all"', 'command = ["backup", "--all"]')
        raise source.wrong((*keys, "command"), problem, examples=right)
    return said if isinstance(said, str) else tuple(words)


def _arguments(source: Source, keys: Keys, table: Mapping[str, Any]) -> Mapping[str, Any]:
    if "arguments" not in table:
        return {}
    at = (*keys, "arguments")
    if "command" in table:
        raise source.wrong(at, "a command has no arguments beside its own words", instead=_FORMS[1:])
    return _table(source, at, table["arguments"])
