"""Hide passwords, and their lengths, in a URL that may be wrong.

Pure. Errors point at parts of the URL as written, so the position of each part in the redacted text is kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["STARS", "RedactedText"]

STARS: Final = "***"  # stands for any password
_SCHEME: Final = re.compile(r"[^:]*://")


class RedactedText:
    """A URL as it may be shown.

    Args:
        given: the URL as written.
        options_of: returns the names of the options of a scheme; None: there is no such scheme. The text after any
            other name is hidden: it may be the rest of a password with an "&" in it.
    """

    def __init__(self, given: str, options_of: Callable[[str], Sequence[str] | None]) -> None:
        self._hidden = tuple(_hidden(given, options_of))
        text = given
        for start, end in reversed(self._hidden):
            text = text[:start] + STARS + text[end:]
        self.text = text

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where a part of the URL as written stands in the text; for a hidden part, where its stars are."""
        return self._moved(start, 0), self._moved(end, len(STARS))

    def _moved(self, offset: int, inside: int) -> int:
        moved = offset
        for first, last in self._hidden:
            if offset >= last:
                moved += len(STARS) - (last - first)
            elif offset > first:
                moved += first - offset + inside
        return moved


def _hidden(given: str, options_of: Callable[[str], Sequence[str] | None]) -> Iterator[tuple[int, int]]:
    """Yield where each hidden part begins and ends, in order."""
    found = _SCHEME.match(given)
    scheme = found[0] if found is not None else ""
    body, mark, query = given[len(scheme) :].partition("?")
    if "@" in query:  # a password with a "?", or an option with an "@": both are possible
        yield len(scheme), len(given)
        return
    options = options_of(scheme.removesuffix("://"))
    colon, end = body.find(":"), body.rfind("@")
    # In "me://secret@h" the scheme, which there is none of, may be the user.
    start = 0 if scheme and options is None else colon + 1 if colon >= 0 else end
    if start < end:
        yield len(scheme) + start, len(scheme) + end
    value = _value_of_no_option(query, options or ())
    if value < len(query):
        yield len(scheme + body + mark) + value, len(given)


def _value_of_no_option(query: str, known: Sequence[str]) -> int:
    """Return where the value of the first unknown option begins; the end if all are known."""
    end = 0
    for part in query.split("&"):
        name, equals, _ = part.partition("=")
        if equals and name not in known:
            return end + len(name) + len(equals)
        end += len(part) + len("&")
    return len(query)
