"""Make jobs of what a jobs file declares: all of them, or none if anything in the file is wrong."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tickglass.jobs_file.reading import read_entries
from tickglass.jobs_file.source import Source
from tickglass.jobs_file.targets import TargetImports, checked_prefixes, is_under
from tickglass.sched.errors import ConfigError, nearest
from tickglass.sched.identity import TargetedFunction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from os import PathLike

    from tickglass.jobs_file.reading import JobEntry
    from tickglass.jobs_file.source import Keys
    from tickglass.sched.job import Job

__all__ = ["LoadedJobs", "load_jobs"]

_COMMAND_MODULE: Final = "tickglass.command"
# What errors of declarations write for Python, and what it is in TOML.
_IN_TOML: Final = ((r"^(\w+)=", r"\1 = "), (r"\bTrue$", "true"), (r"\bFalse$", "false"))


@dataclass(frozen=True, slots=True)
class LoadedJobs:
    """The jobs of a file, by name, in its order."""

    source: Source
    jobs: Mapping[str, Job]

    def refuse_taken(self, names: Iterable[str]) -> None:
        """Refuse a job whose name another one has.

        Raises:
            ConfigError: naming its line.
        """
        for name in names:
            if name in self.jobs:
                raise self.source.wrong(("jobs", name), f"there is already a job named {name}", marked=name)


def load_jobs(path: str | PathLike[str], *, targets: Iterable[str], declare: Callable[..., Job]) -> LoadedJobs:
    """Read a jobs file, import its targets, and declare its jobs.

    Nothing is imported before the whole file was read and found right.

    Args:
        targets: the modules that the file may name, with all modules in them.
        declare: as `tickglass.sched.job.declare`, the service given.

    Raises:
        ConfigError: the file cannot be read, or something in it is wrong.
    """
    prefixes = checked_prefixes(targets)
    source = _source(Path(path))
    entries = read_entries(source)
    _refuse_foreign(source, entries, prefixes)
    imports = TargetImports()
    return LoadedJobs(source, {entry.name: _job(source, entry, imports, declare) for entry in entries})


def _source(path: Path) -> Source:
    try:
        return Source(str(path), path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the jobs file cannot be read: {error.strerror}", given=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the jobs file is not UTF-8: byte {error.start}", given=str(path)) from error


def _refuse_foreign(source: Source, entries: Sequence[JobEntry], prefixes: Sequence[str]) -> None:
    """Refuse targets in modules that the program did not declare: a file must not decide which code is imported."""
    for entry in entries:
        if entry.target is not None and not is_under(entry.module, prefixes):
            allowed = (*(f"{prefix}." for prefix in prefixes), f"{entry.module.partition('.')[0]}.")
            right = f"scheduler.load({source.name!r}, targets={allowed!r})"
            problem = "a target lies under one of the prefixes that the program declares"
            raise source.wrong((*entry.keys, "target"), problem, marked=entry.module, instead=(right,))


def _job(source: Source, entry: JobEntry, imports: TargetImports, declare: Callable[..., Job]) -> Job:
    function = _function(source, entry, imports)
    try:
        return declare(function, entry.trigger, name=entry.name, **entry.policies)
    except ConfigError as error:
        key = _key_meant(entry, error)
        instead = tuple(map(_in_toml, error.instead))
        marked = str(entry.policies[key[-1]]) if key[-1] in entry.policies else None
        raise source.wrong(key, error.problem, marked=marked, instead=instead, examples=error.examples) from error


def _function(source: Source, entry: JobEntry, imports: TargetImports) -> Callable[..., Any]:
    if entry.target is None:
        return _command(source, entry)
    function = imports.function(entry.target, entry.name)
    _refuse_arguments(source, entry, function)
    return TargetedFunction.of(function, entry.target, entry.arguments)


def _command(source: Source, entry: JobEntry) -> Callable[..., Any]:
    try:  # imported late: only for files that have a command
        run: Callable[..., Any] = import_module(_COMMAND_MODULE).command_job(entry.command)
    except ConfigError as error:
        raise source.wrong((*entry.keys, "command"), error.problem, examples=error.examples) from error
    return run


def _refuse_arguments(source: Source, entry: JobEntry, function: Callable[..., Any]) -> None:
    """Refuse arguments that the function does not take: it would fail in each run."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some builtins have none
        return
    try:
        signature.bind_partial(**entry.arguments)
    except TypeError as error:
        strange = next((name for name in entry.arguments if name not in signature.parameters), None)
        near = () if strange is None else nearest(strange, signature.parameters)
        problem = f"{entry.target} does not take these arguments: {error}"
        raise source.wrong((*entry.keys, "arguments"), problem, marked=strange, instead=near) from error


def _key_meant(entry: JobEntry, error: ConfigError) -> Keys:
    """Return the key of the first policy that an error names, or else quotes; or else that of the job."""
    for told in (error.problem, error.given or ""):
        for policy, keys in entry.set_in.items():
            if re.search(rf"\b{policy}\b", told) or str(entry.policies[policy]) == told:
                return keys
    return entry.keys


def _in_toml(right: str) -> str:
    for pattern, text in _IN_TOML:
        right = re.sub(pattern, text, right)
    return right
