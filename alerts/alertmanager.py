"""Decide which alert inhibits which others, and give an example of Alertmanager's configuration.

Pure. An inhibition compares labels, and labels that both alerts lack compare as
equal: a rule that names one label too many silences unrelated alerts. So only
labels that both sides have are named, and a test checks that. Labels that the
rules keep (`cluster`, `namespace`) both sides have or both lack: they come with
the target, and all rules keep the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tickglass.alerts.scope import RuleScope

__all__ = ["INHIBITIONS", "Inhibition", "alertmanager"]

_ALWAYS: Final = "fleet"  # a label of every alert


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While `source` fires, Alertmanager sends no notification of `targets` with the same labels.

    Args:
        same: the labels that must be equal, beside those that all alerts have: the fleet, and what the rules keep.
        because: one sentence, for the reference page.
        is_cause: the source brings the targets about, so it must fire before them.
    """

    source: str
    targets: tuple[str, ...]
    same: tuple[str, ...]
    because: str
    is_cause: bool = False

    def equal(self, scope: RuleScope) -> tuple[str, ...]:
        """Return all labels that must be equal."""
        return (*scope.keep, *self.same, _ALWAYS)


_BURNS: Final = ("TickglassOnTimeBudgetBurnFast", "TickglassOnTimeBudgetBurnSlow")
_NOT_RUN: Final = ("TickglassJobMissedRun", "TickglassJobNotSucceeding", "TickglassJobLeftOut", *_BURNS)
INHIBITIONS: Final = (
    Inhibition(
        "DistributedLockStuckBlocking",
        ("DistributedLockStuck",),
        ("resource", "service"),
        "It is about the same lock, and runs wait for it.",
    ),
    Inhibition(
        "DistributedLockRenewalsStalled",
        ("DistributedLockStuck",),
        ("resource", "service"),
        "A holder that stands still also holds the lock too long.",
    ),
    Inhibition(
        "DistributedLockStoreErrors",
        (*_NOT_RUN, "TickglassJobStartsLate", "TickglassSpoolNotDraining", "TickglassSchedulerNotReady"),
        ("service",),
        "Without its store, a service can neither claim nor settle.",
        is_cause=True,
    ),
    Inhibition(
        "TickglassSchedulerDown",
        (*_NOT_RUN, "TickglassServiceDown"),
        (),
        "Without a scheduler no job runs: one page is enough, not one per job.",
        is_cause=True,
    ),
    Inhibition(
        "TickglassServiceDown",
        (*_NOT_RUN, "TickglassReplicaGone"),
        ("service",),
        "Without a scheduler no job of the service runs.",
        is_cause=True,
    ),
    Inhibition(
        "TickglassSchedulerStalled",
        (*_NOT_RUN, "TickglassSchedulerNotReady"),
        ("service",),
        "No job of the service becomes due.",
        is_cause=True,
    ),
    Inhibition(
        "TickglassPoolDelaysJobs",
        (*_NOT_RUN, "TickglassJobStartsLate", "TickglassPoolSaturated"),
        ("service",),
        "Jobs that find no worker are late, or are not run.",
        is_cause=True,
    ),
    Inhibition(
        "TickglassJobTriggerFailing",
        ("TickglassJobMissedRun", "TickglassJobNotSucceeding"),
        ("service", "job_name"),
        "A job that is never due does not run.",
        is_cause=True,
    ),
    Inhibition(
        "TickglassJobMissedRun",
        ("TickglassJobNotSucceeding", "TickglassJobLeftOut", *_BURNS),
        ("service", "job_name"),
        "A job that does not run can neither succeed nor start on time.",
    ),
    Inhibition(
        "TickglassJobNotSucceeding",
        ("TickglassJobFailing", "TickglassJobFailsOften", "TickglassJobLeftOut"),
        ("service", "job_name"),
        "It is about the same failures, and they have lasted.",
    ),
    Inhibition(
        "TickglassJobFailing",
        ("TickglassJobFailsOften",),
        ("service", "job_name"),
        "The failures in a row are the more urgent of the two.",
    ),
    Inhibition(
        "TickglassOnTimeBudgetBurnFast",
        ("TickglassOnTimeBudgetBurnSlow", "TickglassJobStartsLate"),
        ("service", "job_name"),
        "The fast burn is the more urgent of the two.",
    ),
)


def alertmanager(scope: RuleScope) -> dict[str, Any]:
    """Return an example of Alertmanager's configuration. Its receivers are placeholders."""
    return {
        "route": {
            "receiver": "office",
            "group_by": ["alertname", *scope.keep, _ALWAYS],
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
                "equal": list(inhibition.equal(scope)),
            }
            for inhibition in INHIBITIONS
        ],
        "receivers": [_webhook("office"), _webhook("pager"), _webhook("deadman")],
    }


def _webhook(name: str) -> dict[str, Any]:
    return {"name": name, "webhook_configs": [{"url": f"http://localhost:8080/{name}", "send_resolved": True}]}
