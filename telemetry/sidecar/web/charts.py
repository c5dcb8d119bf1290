"""Turn occurrences and latenesses into shapes: path data for inline SVG.

Pure. All shapes of one tone are one path, so that a chart
of a job that runs ten times a second is no larger than that of a daily job.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND, US, span_text
from tickglass.telemetry.sidecar.explain.tones import Tone, tone_of, word_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tickglass.telemetry.sidecar.view import LockMark, OccurrenceView

__all__ = ["COLUMNS", "STRIP_MAX", "WINDOW_NS", "Spark", "lane", "marks", "share_percent", "spark", "strip", "summary"]

STRIP_MAX: Final = 40
STEP: Final = 5  # from one bar of a strip to the next
FLOOR: Final = 19
# Bottom and top of a bar, per tone; several spans if it is dashed, so that tones differ in shape too.
_BARS: Final[dict[Tone, tuple[tuple[int, int], ...]]] = {
    Tone.QUIET: ((FLOOR, 16),),
    Tone.OK: ((FLOOR, 9),),
    Tone.RUN: ((FLOOR, 15), (13, 11), (9, 7)),
    Tone.WARN: ((FLOOR, 15), (9, 5)),
    Tone.BAD: ((FLOOR, 1),),
}

WINDOW_NS: Final = 300 * SECOND
COLUMNS: Final = 300
COLUMN_NS: Final = WINDOW_NS // COLUMNS

SPARK_WIDTH: Final = 112
SPARK_HEIGHT: Final = 22
# The same scale for every job, so that charts can be compared.
SPARK_MIN_NS: Final = 100 * US
SPARK_MAX_NS: Final = 10 * SECOND


def strip(occurrences: Sequence[OccurrenceView]) -> dict[Tone, str]:
    """Return the latest outcomes as a row of bars, the newest at the right end."""
    shown = occurrences[-STRIP_MAX:]
    first = STRIP_MAX - len(shown)
    paths: dict[Tone, list[str]] = {}
    for column, occurrence in enumerate(shown, start=first):
        tone = tone_of(occurrence)
        x = column * STEP + 2
        paths.setdefault(tone, []).extend(f"M{x} {low}V{high}" for low, high in _BARS[tone])
    return {tone: "".join(parts) for tone, parts in sorted(paths.items())}


def summary(occurrences: Iterable[OccurrenceView]) -> str:
    """Return what a strip shows as words, the most frequent first: "38 success, 2 skipped"."""
    counts: Counter[str] = Counter()
    for occurrence in occurrences:
        counts[word_of(occurrence)] += occurrence.count
    return ", ".join(f"{count:,} {word}" for word, count in counts.most_common()) or "none"


@dataclass(frozen=True, slots=True)
class Spark:
    """Latenesses as a line over a logarithmic scale, and in numbers."""

    line: str
    last_x: float
    last_y: float
    median_ns: int
    worst_ns: int
    count: int

    @property
    def words(self) -> str:
        """The line as text."""
        return (
            f"lateness of the latest {self.count:,} starts: median {span_text(self.median_ns)},"
            f" worst {span_text(self.worst_ns)}"
        )


def spark(lateness_ns: Sequence[int]) -> Spark | None:
    """Return the chart of these latenesses, the newest at the right end; None for none."""
    if not lateness_ns:
        return None
    shown = lateness_ns[-STRIP_MAX:]
    step = SPARK_WIDTH / STRIP_MAX
    points = [(SPARK_WIDTH - (len(shown) - 1 - column) * step - 2, _height(ns)) for column, ns in enumerate(shown)]
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    ranked = sorted(shown)
    return Spark(line, *points[-1], ranked[(len(ranked) - 1) // 2], ranked[-1], len(shown))


def _height(lateness_ns: int) -> float:
    bounded = min(max(lateness_ns, SPARK_MIN_NS), SPARK_MAX_NS)
    share = math.log(bounded / SPARK_MIN_NS) / math.log(SPARK_MAX_NS / SPARK_MIN_NS)
    return SPARK_HEIGHT - 2 - share * (SPARK_HEIGHT - 4)


def lane(occurrences: Iterable[OccurrenceView], now_ns: int) -> dict[Tone, str]:
    """Return a job's last minutes as horizontal bars over `COLUMNS` columns, the present at the right end.

    Bad and warning tones are drawn a column wider on both sides, because one column is too small to see.
    Columns begin at whole multiples of their width since the epoch, so that the chart
    moves by whole columns; each shows the worst tone in it.
    """
    end = now_ns // COLUMN_NS + 1
    cells: list[Tone | None] = [None] * COLUMNS
    for occurrence in occurrences:
        tone = tone_of(occurrence)
        first, last = _span(occurrence, now_ns)
        if tone.weight > Tone.RUN.weight:
            first, last = first - 1, last + 1
        for column in range(max(0, first - end + COLUMNS), min(COLUMNS - 1, last - end + COLUMNS) + 1):
            before = cells[column]
            if before is None or before.weight < tone.weight:
                cells[column] = tone
    return _bars(cells)


def _span(occurrence: OccurrenceView, now_ns: int) -> tuple[int, int]:
    """Return the first and the last column that it touches, counted since the epoch."""
    started = occurrence.due_ns if occurrence.started_wall_ns is None else occurrence.started_wall_ns
    ended = occurrence.until_ns if occurrence.until_ns is not None else occurrence.ended_wall_ns
    if ended is None:
        ended = started if occurrence.outcome else now_ns
    elif occurrence.started_wall_ns is None and occurrence.until_ns is None:
        ended = started  # it never ran: a point at its due instant
    return started // COLUMN_NS, max(started, ended) // COLUMN_NS


def _bars(cells: Sequence[Tone | None]) -> dict[Tone, str]:
    paths: dict[Tone, list[str]] = {}
    begin = 0
    for column in range(1, len(cells) + 1):
        if column < len(cells) and cells[column] == cells[begin]:
            continue
        if (tone := cells[begin]) is not None:
            paths.setdefault(tone, []).append(f"M{begin} 10h{column - begin}")
        begin = column
    return {tone: "".join(parts) for tone, parts in sorted(paths.items())}


def marks(found: Iterable[LockMark], now_ns: int) -> list[tuple[float, LockMark]]:
    """Return the incidents of locks within the window, each with its position from the left in percent."""
    begin_ns = (now_ns // COLUMN_NS + 1 - COLUMNS) * COLUMN_NS
    return [
        (share_percent(mark.at_wall_ns - begin_ns, WINDOW_NS), mark) for mark in found if mark.at_wall_ns >= begin_ns
    ]


def share_percent(part_ns: int, whole_ns: int) -> float:
    """Return what part is of the whole, between 0 and 100, to a tenth."""
    return round(min(max(part_ns / whole_ns, 0.0), 1.0) * 100, 1) if whole_ns > 0 else 100.0
