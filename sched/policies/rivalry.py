"""Decide whether another program claims a job's instants too: one that has the same job with another declaration.

Its attempts carry another declaration (identity.py). That alone is a deployment: for some minutes, instances of the
version before and of the next one claim side by side. So it counts only once such claims lie `DEPLOY_NS` apart.

Pure: no I/O, no clock reads, no logging.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

from tickglass.sched.durations import SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DEPLOY_NS", "Claim", "Rivalry", "owners_of_rivals", "rivalry_in"]

DEPLOY_NS: Final = 900 * SECOND  # two versions may run side by side for so long


class Claim(NamedTuple):
    """An attempt at one occurrence, as far as it matters here.

    Args:
        claimed_ns: by the store's clock.
        declaration: that of the claimant's job; "" if it is not known, because the claimant is of an older version.
    """

    owner: str
    claimed_ns: int
    declaration: str


@dataclass(frozen=True, slots=True)
class Rivalry:
    """The claims of another program; all times are by the store's clock.

    Args:
        claimant: the owner of the latest of them.
        first_ns: when the first of them was made.
        latest_ns: when the latest of them was made.
        gap_ns: the usual time between two of them; 0 if it is not known.
    """

    claimant: str
    first_ns: int
    latest_ns: int
    gap_ns: int = 0

    @property
    def lasts(self) -> bool:
        """Whether it is more than a deployment."""
        return self.latest_ns - self.first_ns >= DEPLOY_NS

    def since(self, earlier: Rivalry | None) -> Rivalry:
        """Return it with the beginning that was found earlier, if any."""
        return self if earlier is None else replace(self, first_ns=min(self.first_ns, earlier.first_ns))

    def is_over(self, now_ns: int) -> bool:
        """Whether the other program has left two of its instants out, and claimed nothing for `DEPLOY_NS`."""
        return now_ns - self.latest_ns > max(DEPLOY_NS, 2 * self.gap_ns)


def rivalry_in(claims: Sequence[Claim], declaration: str, since_ns: int) -> Rivalry | None:
    """Return the claims of another program among the latest attempts of a job; None if there are none.

    Args:
        claims: in any order. Those without a declaration do not count.
        declaration: ours.
        since_ns: from when on we have the job ourselves: claims from before say nothing of a program that still runs.
    """
    rivals = [it for it in claims if it.declaration not in ("", declaration) and it.claimed_ns > since_ns]
    if not rivals:
        return None
    latest = max(rivals, key=lambda it: it.claimed_ns)
    first_ns = min(it.claimed_ns for it in rivals)
    gap_ns = (latest.claimed_ns - first_ns) // (len(rivals) - 1) if len(rivals) > 1 else 0
    return Rivalry(latest.owner, first_ns, latest.claimed_ns, gap_ns)


def owners_of_rivals(claims: Sequence[Claim]) -> list[str]:
    """Return who claims one job's instants with different declarations, as a ledger alone shows it; mostly none.

    Two declarations count if both claimed for `DEPLOY_NS`, side by side. Owners are sorted.
    """
    spans: dict[str, tuple[int, int]] = {}
    for _, at_ns, declaration in claims:
        if declaration:
            first_ns, latest_ns = spans.get(declaration, (at_ns, at_ns))
            spans[declaration] = min(first_ns, at_ns), max(latest_ns, at_ns)
    rivals = {
        declaration
        for one, other in combinations(spans, 2)
        if min(spans[one][1], spans[other][1]) - max(spans[one][0], spans[other][0]) >= DEPLOY_NS
        for declaration in (one, other)
    }
    return sorted({it.owner for it in claims if it.declaration in rivals})
