"""The answers that a policy can give about one due instant.

Pure: values only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickglass.sched.occurrence import SkipReason

__all__ = ["Admit", "Decline", "Defer", "TooLate", "Verdict"]


@dataclass(frozen=True, slots=True)
class Admit:
    """Run it."""


@dataclass(frozen=True, slots=True)
class Defer:
    """Decide later: at the due instant; for a rerun, when a sweep finds the open claim again."""


@dataclass(frozen=True, slots=True)
class Decline:
    """Skip it.

    Args:
        reason: which policy said no.
    """

    reason: SkipReason


@dataclass(frozen=True, slots=True)
class TooLate:
    """Do not run it here; the ledger says whether another instance ran it."""


Verdict = Admit | Defer | Decline | TooLate
