"""Say what a deploy of a scheduler's jobs changes on its store; `tickglass plan` shows it. Pure.

Reference: docs/cli.md.
"""

from tickglass.plan.changes import ChangeKind, FieldChange, JobChange
from tickglass.plan.deploy import Known, Plan, plan_of
from tickglass.plan.instants import Instants, InstantsChange, Moves
from tickglass.plan.overlaps import Overlap

__all__ = [
    "ChangeKind",
    "FieldChange",
    "Instants",
    "InstantsChange",
    "JobChange",
    "Known",
    "Moves",
    "Overlap",
    "Plan",
    "plan_of",
]
