"""Point at a part of an expression, so that every error shows the place and a right spelling.

Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tickglass.sched.errors import ConfigError

__all__ = ["SourceSpan", "one_slip"]


@dataclass(frozen=True, slots=True)
class SourceSpan:
    """A part of an expression, in its place.

    Attributes:
        given: the whole expression, on one line.
        start: where the part begins.
        end: where it has ended.
    """

    given: str
    start: int
    end: int

    @property
    def text(self) -> str:
        """The part as it was written."""
        return self.given[self.start : self.end]

    @property
    def lower(self) -> str:
        """The part in lower case, because fields ignore case."""
        return self.text.lower()

    def until(self, last: SourceSpan) -> SourceSpan:
        """Return the part from this one to the end of another."""
        return SourceSpan(self.given, self.start, last.end)

    def part(self, start: int, end: int) -> SourceSpan:
        """Return a piece of the part, by its place in it."""
        return SourceSpan(self.given, self.start + start, self.start + end)

    def words(self) -> list[SourceSpan]:
        """Return what stands between spaces."""
        return [self.part(match.start(), match.end()) for match in re.finditer("[^ ]+", self.text)]

    def parts(self, separator: str) -> list[SourceSpan]:
        """Return what stands between the separators, empty parts too."""
        found, start = [], self.start
        for text in self.text.split(separator):
            found.append(SourceSpan(self.given, start, start + len(text)))
            start += len(text) + len(separator)
        return found

    @property
    def fills_its_field(self) -> bool:
        """Whether nothing stands beside the part, between two spaces."""
        return f" {self.given} "[self.start] == f" {self.given} "[self.end + 1] == " "

    def others(self) -> tuple[list[str], list[str]]:
        """Return the words before the field of this part, without one that names a zone, and those behind it.

        What stands beside the part in its field counts as a word.
        """
        before = self.given[: self.start].split()
        return [word for word in before if "=" not in word], self.given[self.end :].split()

    def replaced(self, text: str) -> str:
        """Return the whole expression with this part written differently."""
        return " ".join((self.given[: self.start] + text + self.given[self.end :]).split())

    def wrong(self, problem: str, *instead: str, examples: tuple[str, ...] = ()) -> ConfigError:
        """Return the error that points here."""
        return ConfigError(problem, given=self.given, span=(self.start, self.end), instead=instead, examples=examples)


def one_slip(written: str, right: str) -> bool:
    """Return whether two words differ by one typing error: a letter too many, too few or wrong, or two swapped.

    Stricter than the nearest word of a list: the nearest word to "minutely" is "monthly".
    """
    if len(written) > len(right):
        return one_slip(right, written)
    same = next((index for index, (a, b) in enumerate(zip(written, right, strict=False)) if a != b), len(written))
    rest, rest_right = written[same:], right[same:]
    if len(written) < len(right):
        return rest == rest_right[1:]
    swapped = rest[:2] == rest_right[1::-1] and rest[2:] == rest_right[2:]
    return bool(rest) and (swapped or rest[1:] == rest_right[1:])
