"""Decide how text from outside is written where a terminal shows it: in a log, on the command line, in a reason.

Pure. Names and errors may hold any character. An escape sequence would colour the text that follows, rename the window
or fill the clipboard; a line break would forge a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["lines_shown", "shown"]

# What a terminal obeys (C0, DEL, C1), and Unicode's invisible characters that reverse or break text.
_UNSEEN: Final = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_SIGNS: Final[Mapping[int, str]] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    0x7F: "\N{SYMBOL FOR DELETE}",
    **{code: f"\\x{code:02x}" for code in range(0x80, 0xA0)},
    **{code: f"\\u{code:04x}" for code in _UNSEEN},
}


def shown(text: str) -> str:
    """Return text so that a terminal shows it and does not obey it.

    Each control character becomes a sign of its own, line breaks included: an escape is "␛".
    """
    return text.translate(_SIGNS)


def lines_shown(text: str) -> str:
    """Do the same for a text of several lines; its line breaks stay."""
    return "\n".join(shown(line) for line in text.split("\n"))
