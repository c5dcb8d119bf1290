"""Keep the text of a jobs file, and say where in it a key is, so that every error shows file and line.

Pure.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Keys", "Source"]

Keys = tuple[str, ...]  # the way to a value: ("jobs", "nightly", "trigger")

_AT: Final = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a file.

    Args:
        name: the file's, as the user named it.
    """

    name: str
    text: str

    def parsed(self) -> dict[str, Any]:
        """Return what the TOML says.

        Raises:
            ConfigError: it is not TOML.
        """
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            told = str(error)
            place = _AT.search(told)
            lines = self.text.split("\n")
            number = int(place[1]) if place is not None and place[1] else max(1, len(self.text.rstrip().split("\n")))
            problem = told if place is None else told[: place.start()]
            raise ConfigError(
                f"{self.name}:{number}: this is not TOML: {problem}", given=lines[number - 1].strip()
            ) from error

    def line_of(self, keys: Keys) -> int:
        """Return the line, from 1 on, in which a key or a table begins; where it is not there, its table's."""
        first: dict[Keys, int] = {}
        for number, path in self._statements():
            for length in range(len(path) + 1):
                first.setdefault(path[:length], number)
        return next((first[keys[:length]] for length in range(len(keys), 0, -1) if keys[:length] in first), 1)

    def wrong(
        self,
        keys: Keys,
        problem: str,
        *,
        marked: str | None = None,
        instead: tuple[str, ...] = (),
        examples: tuple[str, ...] = (),
    ) -> ConfigError:
        """Return the error that shows the line of a key, and points at a part of the line if it has that part."""
        number = self.line_of(keys)
        line = self.text.split("\n")[number - 1].strip()
        start = -1 if not marked else line.rfind(marked)  # the last: a value comes behind its key
        span = None if start < 0 or marked is None else (start, start + len(marked))
        problem = f"{self.name}:{number}: {problem}"
        return ConfigError(problem, given=line, span=span, instead=instead, examples=examples)

    def _statements(self) -> Iterator[tuple[int, Keys]]:
        """Return each key that the text sets and each table that it begins, with its line; those within values, too.

        A statement of TOML is TOML, and a part of one is not. So a statement is the fewest lines that can be parsed.
        """
        table: Keys = ()
        lines: list[str] = []
        for number, line in enumerate(self.text.split("\n"), start=1):
            lines.append(line)
            try:
                said = tomllib.loads("\n".join(lines))
            except tomllib.TOMLDecodeError:
                continue
            begins = number - len(lines) + 1
            if lines[0].lstrip().startswith("["):
                table = max(_paths(said), key=len)
                yield begins, table
            else:
                yield from ((begins, table + path) for path in _paths(said))
            lines = []


def _paths(value: object) -> Iterator[Keys]:
    """Return the ways to all values in a table, the tables among them too; the elements of a list have no key."""
    while isinstance(value, list):  # the header of an array of tables
        value = value[0] if value else None
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (key,)
            yield from ((key, *path) for path in _paths(inner))
