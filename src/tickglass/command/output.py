"""Decide what of a command's output reaches the log and the ledger: whole lines, none too long, and the end.

No I/O but the log. Output may hold any bytes; what a terminal would obey is escaped.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from tickglass.sched.escaping import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LINE_MAX", "TAIL_MAX", "OutputLines"]

LINE_MAX: Final = 4_096  # bytes of a line that reach the log
TAIL_MAX: Final = 2_000  # characters that a run's detail in the ledger has of the command's errors
_BYTES: Final = 4  # of a character, at most
_log: Final = logging.getLogger("tickglass.jobs")


class OutputLines:
    """One stream of a command: whole lines go to the log at INFO, and the end of all is kept.

    Args:
        stream: "stdout" or "stderr", a field of each line in the log.
        ids: of the run; fields of each line as well.
    """

    def __init__(self, stream: str, ids: Mapping[str, object]) -> None:
        self._fields = {**ids, "stream": stream}
        self._line = bytearray()
        self._cut = 0  # bytes of this line that are not kept
        self._tail = bytearray()

    @property
    def tail(self) -> str:
        """The end of what was written, at most `TAIL_MAX` characters."""
        text = self._tail.decode(errors="replace").strip()
        return "\n".join(map(_legible, text.split("\n")))[-TAIL_MAX:]

    def take(self, data: bytes) -> None:
        """Take what was written next."""
        self._tail += data
        del self._tail[: -_BYTES * TAIL_MAX]
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._keep(end)
            self._tell()
        self._keep(rest)

    def end(self) -> None:
        """Tell a last line that has no line break."""
        if self._line:
            self._tell()

    def _keep(self, part: bytes) -> None:
        room = LINE_MAX - len(self._line)
        self._line += part[:room]
        self._cut += max(0, len(part) - room)

    def _tell(self) -> None:
        text = _legible(self._line.decode(errors="replace"))
        more = f" ... and {self._cut} bytes more" if self._cut else ""
        self._line.clear()
        self._cut = 0
        _log.info("%s%s", text, more, extra=self._fields)


def _legible(line: str) -> str:
    return shown(line.rstrip("\r").expandtabs())
