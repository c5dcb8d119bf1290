"""Read the lines of a crontab: variables, jobs, comments, and what is none of them.

Pure. The form is that of Vixie's cron and its descendants, see crontab(5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["JobLine", "Line", "Other", "Variable", "has_users", "lines_of", "split_input"]

_VARIABLE: Final = re.compile(r"""\s*(?P<name>[A-Za-z_]\w*|"[^"]+"|'[^']+')\s*=\s*(?P<value>.*?)\s*""", re.ASCII)
_JOB: Final = re.compile(r"\s*(?P<quiet>-?)(?P<when>@\w+|(?:\S+\s+){4}\S+)(?:\s+(?P<rest>\S.*?))?\s*")
_FIELD: Final = re.compile(r"[\d*?~,/LW#a-zA-Z-]+")
_USER: Final = re.compile(r"[a-z_][a-z0-9_.-]*\$?", re.ASCII)
# Users that systems have and that are no commands: `backup`, `mail` and `postgres` may be either.
_KNOWN_USERS: Final = frozenset({"nobody", "root", "www-data"})


class Variable(NamedTuple):
    """A line that sets a variable of the lines below it."""

    number: int
    text: str
    name: str
    value: str


class JobLine(NamedTuple):
    """A line that starts a command.

    Args:
        when: five fields, or an alias such as "@daily".
        user: "" in a file of one user.
        command: as cron reads it: a "%" is not translated yet.
        quiet: whether a "-" before the fields keeps it out of the system's log.
    """

    number: int
    text: str
    when: str
    user: str
    command: str
    quiet: bool


class Other(NamedTuple):
    """A blank line, a comment, or a line that is none of a crontab.

    Args:
        wrong: whether cron would refuse it.
    """

    number: int
    text: str
    wrong: bool


Line = Variable | JobLine | Other


def lines_of(text: str, *, system: bool) -> list[Line]:
    """Return the lines of a crontab.

    Args:
        system: whether the form has a column for the user.
    """
    return [_line(number, line.rstrip("\r"), system=system) for number, line in enumerate(text.split("\n"), start=1)]


def _line(number: int, text: str, *, system: bool) -> Line:
    if not text.strip() or text.lstrip().startswith("#"):
        return Other(number, text.strip(), wrong=False)
    if found := _VARIABLE.fullmatch(text):
        return Variable(number, text, _unquoted(found["name"]), _unquoted(found["value"]))
    found = _JOB.fullmatch(text)
    if found is None or not found["rest"] or not _are_fields(found["when"]):
        return Other(number, text, wrong=True)
    user, command = "", found["rest"]
    if system:
        user, *rest = command.split(maxsplit=1)
        if not rest:
            return Other(number, text, wrong=True)
        command = rest[0]
    return JobLine(number, text, " ".join(found["when"].split()), user, command, bool(found["quiet"]))


def _are_fields(when: str) -> bool:
    return when.startswith("@") or all(_FIELD.fullmatch(field) for field in when.split())


def has_users(lines: Iterable[Line]) -> bool:
    """Return whether lines that were read without users certainly have them.

    Every command would have to begin with a word that may be a user and that is followed by another. One of these must
    be a user that systems have.
    """
    firsts = [line.command.split() for line in lines if isinstance(line, JobLine)]
    may_be = all(len(words) > 1 and _USER.fullmatch(words[0]) for words in firsts)
    return may_be and any(words[0] in _KNOWN_USERS and _is_begun(words[1]) for words in firsts)


def _is_begun(word: str) -> bool:
    """Return whether a command may begin with this word, and the arguments of one would not."""
    return not word.startswith(("-", ">", "|", "&", ";"))


def split_input(command: str) -> tuple[str, Sequence[str] | None]:
    r"""Return the command and the lines of its standard input; None: it has none.

    The first "%" ends the command, and each further one ends a line; "\%" is a "%".
    """
    whole, *rest = (part.replace("\\%", "%") for part in re.split(r"(?<!\\)%", command))
    return whole.rstrip() if rest else whole, rest or None


def _unquoted(text: str) -> str:
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text
