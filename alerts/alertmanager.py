"""Decide which alert inhibits which others, and give an example of Alertmanager's configuration.

Pure. An inhibition compares labels, and labels that both alerts lack compare as
equal: a rule that names one label too many silences unrelated alerts. So only
labels that both sides have are named, and a test checks that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

__all__ = ["INHIBITIONS", "Inhibition", "alertmanager"]

_ALWAYS: Final = "fleet"  # a label of every alert


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While `source` fires, Alertmanager sends no notification of `targets` with the same labels.

    Args:
        same: the labels that must be equal, beside the fleet.
        because: one sentence, for the reference page.
    """

    source: str
    targets: tuple[str, ...]
    same: tuple[str, ...]
    because: str

    @property
    def equal(self) -> tuple[str, ...]:
        """All labels that must be equal."""
        return (*self.same, _ALWAYS)


_LATE: Final = ("TickglassOnTimeBudgetBurnFast", "TickglassOnTimeBudgetBurnSlow")
INHIBITIONS: Final = (
    Inhibition(
        "DistributedLockStuckBlocking",
        ("DistributedLockStuck",),
        ("resource",),
        "It is about the same lock, and runs wait for it.",
    ),
    Inhibition(
        "DistributedLockRenewalsStalled",
        ("DistributedLockStuck",),
        ("resource",),
        "A holder that stands still also holds the lock too long.",
    ),
    Inhibition(
        "DistributedLockStoreErrors",
        ("TickglassSpoolNotDraining", "TickglassJobLeftOut"),
        (),
        "Without its store, the fleet can neither claim nor settle.",
    ),
    Inhibition(
        "TickglassSchedulerDown",
        ("TickglassJobMissedRun", "TickglassJobNotSucceeding", "TickglassJobLeftOut", *_LATE),
        (),
        "Without a scheduler no job runs: one page is enough, not one per job.",
    ),
    Inhibition(
        "TickglassJobTriggerFailing",
        ("TickglassJobMissedRun", "TickglassJobNotSucceeding"),
        ("job_name",),
        "A job that is never due does not run.",
    ),
    Inhibition(
        "TickglassJobMissedRun",
        ("TickglassJobNotSucceeding", "TickglassJobLeftOut", *_LATE),
        ("job_name",),
        "A job that does not run can neither succeed nor start on time.",
    ),
    Inhibition(
        "TickglassJobNotSucceeding",
        ("TickglassJobFailing", "TickglassJobLeftOut"),
        ("job_name",),
        "It is about the same failures, and they have lasted.",
    ),
    Inhibition(
        "TickglassOnTimeBudgetBurnFast",
        ("TickglassOnTimeBudgetBurnSlow", "TickglassJobStartsLate"),
        ("job_name",),
        "The fast burn is the more urgent of the two.",
    ),
)


def alertmanager() -> dict[str, Any]:
    """Return an example of Alertmanager's configuration. Its receivers are placeholders."""
    return {
        "route": {
            "receiver": "office",
            "group_by": ["alertname", _ALWAYS],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "12h",
            "routes": [
                {
                    "receiver": "deadman",
                    "matchers": ['alertname = "TickglassWatchdog"'],
                    "group_wait": "0s",
                    "group_interval": "1m",
                    "repeat_interval": "1m",
                },
                {"receiver": "pager", "matchers": ['severity = "critical"'], "group_wait": "10s"},
            ],
        },
        "inhibit_rules": [
            {
                "source_matchers": [f'alertname = "{inhibition.source}"'],
                "target_matchers": [f'alertname =~ "{"|".join(inhibition.targets)}"'],
                "equal": list(inhibition.equal),
            }
            for inhibition in INHIBITIONS
        ],
        "receivers": [_webhook("office"), _webhook("pager"), _webhook("deadman")],
    }


def _webhook(name: str) -> dict[str, Any]:
    return {"name": name, "webhook_configs": [{"url": f"http://localhost:8080/{name}", "send_resolved": True}]}
