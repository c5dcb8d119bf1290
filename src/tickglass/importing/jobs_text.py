"""Write a jobs file: tables of jobs, comments that are kept, and a remark above each thing that differs.

Pure: no I/O. The file is TOML 1.0.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from tickglass.sched.escaping import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["Draft", "Imported", "Kept", "Remark", "imported", "is_writable"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_BASIC_ONLY: Final = re.compile(r"['\x00-\x1f\x7f]")  # what a literal string of one line cannot hold
_LINES_BASIC_ONLY: Final = re.compile(r"'''|'\Z|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A job of the file; it has a command or a target.

    Args:
        name: as it is, or as it will be after `named`.
        line: of the source, counted from 1.
        trigger: as it is written in Python.
        settings: policies and arguments, in the order in which they are written.
        remarks: what differs from the source, a sentence each.
    """

    name: str
    line: int
    trigger: str
    command: str | Sequence[str] = ""
    target: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Text of the source that stays as a comment, with what is to be said of it.

    Args:
        is_job: whether it declares a job, which cannot be said.
    """

    line: int
    text: str
    remarks: tuple[str, ...] = ()
    is_job: bool = False


class Remark(NamedTuple):
    """Something that could not be said the same way.

    Args:
        line: of the source, counted from 1; 0: about all of it.
        text: a sentence without a full stop.
    """

    line: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of a source.

    Args:
        text: the jobs file.
        jobs: how many jobs are in it.
        kept: how many jobs of the source are comments in it, because they cannot be said.
        remarks: what differs, in the order of the source.
    """

    text: str
    jobs: int
    kept: int
    remarks: tuple[Remark, ...]


def imported(entries: Iterable[Draft | Kept], *, notes: Sequence[str], remarks: Sequence[str] = ()) -> Imported:
    """Return the file with these entries.

    Args:
        notes: what a reader of the file should know of all jobs.
        remarks: what may differ in all jobs.
    """
    found = list(entries)
    head = [*(f"# {note}" for note in notes), *map(_remark, remarks)]
    blocks = [line for entry in found for line in _block(entry)]
    text = "\n".join([*head, "", *blocks]).rstrip("\n") + "\n"
    told = [Remark(entry.line, remark) for entry in found for remark in entry.remarks]
    return Imported(
        text=re.sub(r"\n{3,}", "\n\n", text),
        jobs=sum(isinstance(entry, Draft) for entry in found),
        kept=sum(isinstance(entry, Kept) and entry.is_job for entry in found),
        remarks=(*(Remark(0, remark) for remark in remarks), *told),
    )


def is_writable(value: object) -> bool:
    """Return whether TOML has such a value: it has no null, and the keys of its tables are text."""
    if isinstance(value, dict):
        return all(isinstance(name, str) and is_writable(each) for name, each in value.items())
    if isinstance(value, list | tuple):
        return all(map(is_writable, value))
    return isinstance(value, str | int | float)


def _block(entry: Draft | Kept) -> Iterator[str]:
    for remark in entry.remarks:
        yield _remark(remark)
    if isinstance(entry, Kept):
        yield from (_comment(line) for line in entry.text.split("\n"))
        if entry.remarks:
            yield ""
        return
    yield f"[jobs.{_key(entry.name)}]"
    for name, value in (("target", entry.target), ("command", entry.command)):
        if value:
            yield f"{name} = {_value(value)}"
    yield f"trigger = {_value(entry.trigger)}"
    for name, setting in entry.settings.items():
        yield f"{name} = {_value(setting)}"
    yield ""


def _remark(text: str) -> str:
    return f"# remark: {shown(text)}"


def _comment(line: str) -> str:
    if not line.strip():
        return ""
    plain = "".join(character if character == "\t" else shown(character) for character in line)
    return plain if plain.startswith("#") else f"# {plain}"


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case int():
            return str(value)
        case float():
            return repr(value)  # "inf" and "nan" are written alike
        case dict():
            inner = ", ".join(f"{_key(name)} = {_value(each)}" for name, each in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            raise TypeError(f"TOML has no {type(value).__name__}")


def _text(text: str) -> str:
    """Return the form that needs no escapes, if there is one."""
    if '"' not in text and "\\" not in text and not _BASIC_ONLY.search(text.replace("'", "")):
        return f'"{text}"'
    if not _BASIC_ONLY.search(text):
        return f"'{text}'"
    if "\n" in text and not _LINES_BASIC_ONLY.search(text):
        return f"'''\n{text}'''"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")
