"""Decide which outcome is good, which is bad, and which shape stands for it.

Pure. A tone is never a colour alone: the style sheet gives each a colour, the
figures a shape, the icons a glyph, and a word stands beside it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tickglass.sched.occurrence import DID_NOT_RUN, FAILURES, NEUTRAL, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tickglass.telemetry.sidecar.view import InstanceView, OccurrenceView

__all__ = ["Tone", "icon_of", "instance_tone", "tone_of", "word_of"]


class Tone(StrEnum):
    """How bad a state is, the worst last."""

    QUIET = "quiet"  # nothing happened here, and nothing should have
    OK = "ok"
    RUN = "run"  # has not ended
    WARN = "warn"  # it did not run
    BAD = "bad"

    @property
    def weight(self) -> int:
        """The larger, the worse."""
        return _WEIGHTS[self]


_WEIGHTS: Final[Mapping[Tone, int]] = {tone: weight for weight, tone in enumerate(Tone)}
_OUTCOMES: Final[Mapping[str, Tone]] = {
    Outcome.SUCCESS: Tone.OK,
    **dict.fromkeys(FAILURES, Tone.BAD),
    **dict.fromkeys(DID_NOT_RUN, Tone.WARN),
    **dict.fromkeys(NEUTRAL, Tone.QUIET),
}
_STATES: Final[Mapping[str, Tone]] = {"left": Tone.BAD, "abandoned": Tone.BAD, "overdue": Tone.BAD}
_ICONS: Final[Mapping[str, str]] = {
    Outcome.SUCCESS: "check",
    Outcome.FAILURE: "cross",
    Outcome.LOST: "cross",
    Outcome.ORPHANED: "cross",
    Outcome.TIMEOUT: "clock",
    "overdue": "clock",
    Outcome.SKIPPED: "slash",
    Outcome.MISSED: "hollow",
    Outcome.CANCELLED: "square",
    Outcome.ELSEWHERE: "arrow",
}
_ICON_OF_TONE: Final[Mapping[Tone, str]] = {
    Tone.QUIET: "hollow",
    Tone.OK: "check",
    Tone.RUN: "play",
    Tone.WARN: "hollow",
    Tone.BAD: "cross",
}


def tone_of(occurrence: OccurrenceView) -> Tone:
    """Return the tone of an occurrence; an unknown outcome, of a later version, is a warning."""
    if occurrence.outcome:
        return _OUTCOMES.get(occurrence.outcome, Tone.WARN)
    return _STATES.get(occurrence.state, Tone.RUN)


def instance_tone(instance: InstanceView) -> Tone:
    """Return the tone of an instance; a silent one died, or does not reach the store."""
    return {"running": Tone.OK, "silent": Tone.WARN}.get(instance.state, Tone.RUN)


def icon_of(occurrence: OccurrenceView) -> str:
    """Return the name of the glyph that stands beside the word."""
    return _ICONS.get(word_of(occurrence), _ICON_OF_TONE[tone_of(occurrence)])


def word_of(occurrence: OccurrenceView) -> str:
    """Return the outcome, or the state before it has ended."""
    return occurrence.outcome or occurrence.state or "pending"
