"""Name jobs: after what a command runs, each name once, and the same from the same file.

Pure. A name depends on other jobs only where two would have the same.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["names_of_command", "unique"]

_FALLBACK: Final = "job"
_LENGTH_MAX: Final = 60
# A simple command of a line: operators within quotes do not end it.
_PART: Final = re.compile(r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[<>]&|&>|[^;&|\n])+""", re.DOTALL)
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=.*", re.ASCII | re.DOTALL)
_REDIRECTION: Final = re.compile(r"\d*[<>].*|&>.*", re.DOTALL)
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_]+")
_ENDINGS: Final = frozenset({".bash", ".js", ".php", ".pl", ".py", ".rb", ".sh"})
# What prepares a command, or decides whether it runs, and says nothing of what it does.
_PREPARE: Final = frozenset(
    [".", "[", "[[", ":", "cd", "command", "echo", "export", "if", "set", "sleep", "source", "test", "umask", "which"]
)
# What runs a command that is named behind it, with the options that take a word of their own.
_WRAPPERS: Final = {
    "bash": "", "chronic": "", "env": "uSC", "exec": "a", "flock": "wE", "ionice": "cnp", "nice": "n", "node": "",
    "nohup": "", "perl": "I", "php": "d", "python": "WX", "python2": "WX", "python3": "WX", "ruby": "I", "sh": "",
    "sudo": "ugC", "then": "", "time": "", "timeout": "ks",
}  # fmt: skip
_OPERANDS: Final = {"flock": 1, "timeout": 1}  # words before the command
_TAKE_COMMANDS: Final = frozenset({"bash", "flock", "sh"})  # with -c: the next word is a command
_TAKE_PROGRAMS: Final = frozenset({"node", "perl", "php", "python", "python2", "python3", "ruby"})


def names_of_command(command: str) -> tuple[str, ...]:
    """Return names for a command, the shortest first; each is longer than the one before."""
    words = _first_telling(command)
    if not words:
        return (_FALLBACK,)
    program, *rest = words
    plain = [word for word in rest if re.fullmatch(r"[A-Za-z][\w:-]{1,30}", word, re.ASCII)]
    more = [_stem(word) for word in rest if not word.startswith("-")]
    stages = ([program, *plain[:1]], [program, *more[:1]], [program, *more[:3]], [program, *map(_stem, rest)])
    return tuple(dict.fromkeys(_name(stage) for stage in stages))


def unique(choices: Sequence[Sequence[str]]) -> list[str]:
    """Return a name for each of these: the first of its own that no other has; if there is none, one with a number."""
    counted = [
        Counter(each[min(depth, len(each) - 1)] for each in choices)
        for depth in range(max(map(len, choices), default=0))
    ]
    found: list[str] = []
    taken: set[str] = set()
    for each in choices:
        own = [name for depth, name in enumerate(each) if counted[depth][name] == 1 and name not in taken]
        name = own[0] if own else next(free for free in _numbered(each[min(1, len(each) - 1)]) if free not in taken)
        taken.add(name)
        found.append(name)
    return found


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


def _first_telling(command: str) -> list[str]:
    return next(filter(None, map(_telling, _PART.findall(command))), [])


def _telling(part: str) -> list[str]:
    """Return the program that a part of a command runs, and its arguments; nothing if it only prepares another part."""
    words = _without_redirections(_words(part))
    while words:
        word = words[0]
        program = _stem(word.lstrip("({!"))
        if _ASSIGNMENT.fullmatch(word) or not program:
            del words[0]
        elif program in _PREPARE:
            return []
        elif program in _WRAPPERS:
            words = _behind(program, words[1:])
        else:
            return [program, *words[1:]]
    return []


def _behind(wrapper: str, words: list[str]) -> list[str]:
    """Return the words that a wrapper runs; nothing if they cannot be told from its options."""
    words, operands = list(words), _OPERANDS.get(wrapper, 0)
    while words and (words[0].startswith("-") or operands):
        word = words.pop(0)
        if not word.startswith("-"):
            operands -= 1
        elif word == "-m":  # a module of Python
            return words
        elif word in {"-e", "-c", "-r"} and wrapper in _TAKE_PROGRAMS:
            return []
        elif word == "-c" and wrapper in _TAKE_COMMANDS:
            return _first_telling(words[0]) if words else []
        elif len(word) == 2 and word[1] in _WRAPPERS[wrapper] and words:
            del words[0]
    return words


def _without_redirections(words: Sequence[str]) -> list[str]:
    targets = {place + 1 for place, word in enumerate(words) if re.fullmatch(r"\d*[<>&]+", word)}
    return [word for place, word in enumerate(words) if place not in targets and not _REDIRECTION.fullmatch(word)]


def _words(part: str) -> list[str]:
    try:
        return shlex.split(part)
    except ValueError:  # a quotation that ends in another part
        return part.split()


def _stem(word: str) -> str:
    path = PurePosixPath(word)
    return path.stem if path.suffix in _ENDINGS else path.name


def _name(words: Sequence[str]) -> str:
    name = _NOT_IN_NAMES.sub("-", "-".join(words)).strip("-_")
    return name[:_LENGTH_MAX].rstrip("-_") or _FALLBACK
