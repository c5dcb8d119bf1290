"""Decide how long an instance holds back before it takes a free lease that another region is to have.

Pure: no I/O, no clock reads. A preference changes when an instance asks, never which one may hold a lease: the store
alone decides that. So wrong labels or outdated presence cost a delay, or leave one out.

An instance advertises its region by a lease on `presence_resource` of each of its labels. One instance per label has
it, and another one takes it over when that one dies. So the store decides, by its own clock, whether a region is
present.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tickglass.sched.durations import SECOND, Duration, duration_ns, duration_text
from tickglass.sched.errors import ConfigError

__all__ = [
    "PRESENCE_TTL_NS",
    "Preference",
    "better_labels",
    "checked_labels",
    "checked_preference",
    "head_start_ns",
    "is_presence",
    "preference",
    "presence_resource",
]

PRESENCE_TTL_NS: Final = 5 * SECOND  # well below a job's TTL: an absent region is known before its jobs' leases end
NEAR: Final = "200ms"
FAR: Final = "800ms"
_RESOURCE: Final = "tickglass:presence:"
_LABEL: Final = re.compile(r"[A-Za-z_][\w.-]*=[\w./:-]+", re.ASCII)
_RIGHT: Final = ('prefer="region=a"', 'prefer="region=a, region=b"')
_RIGHT_LABELS: Final = ('labels={"region": "a"}',)


@dataclass(frozen=True, slots=True)
class Preference:
    """Which instances are to have a lease; made by `preference`.

    Args:
        labels: "name=value", best first.
        near_ns: how long instances with another label than the first hold back.
        far_ns: how long instances without any of the labels hold back.
    """

    labels: tuple[str, ...]
    near_ns: int
    far_ns: int


def preference(given: str, *, near: Duration = NEAR, far: Duration = FAR) -> Preference:
    """Read `"region=a"`, or `"region=a, region=b"`: the first is preferred, the others are its near stand-ins.

    Raises:
        ConfigError: it is not a list of labels, or far is less than near.
    """
    if not isinstance(given, str):
        raise ConfigError(f"a preference is text, not {type(given).__name__}", given=repr(given), instead=_RIGHT)
    labels: list[str] = []
    start = 0
    for part in given.split(","):
        label = part.strip()
        span = (start + part.find(label), start + part.find(label) + len(label))
        start += len(part) + 1
        if not _LABEL.fullmatch(label):
            raise ConfigError(
                "a preference names labels, each a name, = and a value", given=given, span=span, instead=_RIGHT
            )
        if label in labels:
            raise ConfigError(f"{label} is named twice", given=given, span=span)
        labels.append(label)
    near_ns, far_ns = duration_ns(near, what="near"), duration_ns(far, what="far")
    if far_ns < near_ns:
        problem = f"far must not be less than near: {duration_text(far_ns)} is less than {duration_text(near_ns)}"
        raise ConfigError(problem, instead=(f'near="{NEAR}", far="{FAR}"',))
    return Preference(tuple(labels), near_ns, far_ns)


def checked_preference(given: str | Preference | None) -> Preference | None:
    """Return a preference that was given as text, as a `Preference`, or not at all.

    Raises:
        ConfigError: as `preference` does.
    """
    return given if given is None or isinstance(given, Preference) else preference(given)


def checked_labels(labels: Mapping[str, str] | None) -> frozenset[str]:
    """Return an instance's labels as a preference spells them.

    Raises:
        ConfigError: they are not names and values, or a preference could not name one of them.
    """
    if labels is None:
        return frozenset()
    if not isinstance(labels, Mapping):
        problem = f"labels are names and their values, not {type(labels).__name__}"
        raise ConfigError(problem, given=repr(labels), instead=_RIGHT_LABELS)
    for name, value in labels.items():
        if not (isinstance(name, str) and isinstance(value, str) and _LABEL.fullmatch(f"{name}={value}")):
            problem = "a label is a plain name and a plain value"
            raise ConfigError(problem, given=f"{name}={value}", instead=_RIGHT_LABELS)
    return frozenset(f"{name}={value}" for name, value in labels.items())


def better_labels(preferred: Preference | None, ours: frozenset[str]) -> tuple[str, ...]:
    """Return the labels that go before `ours`, best first; none for a preferred instance."""
    if preferred is None:
        return ()
    rank = next((rank for rank, label in enumerate(preferred.labels) if label in ours), len(preferred.labels))
    return preferred.labels[:rank]


def head_start_ns(preferred: Preference | None, ours: frozenset[str], present: frozenset[str]) -> int:
    """Return how long to hold back: 0 for a preferred instance, and while no better label is present.

    Args:
        ours: the labels of this instance.
        present: the labels that a live instance has.
    """
    better = better_labels(preferred, ours)
    if preferred is None or present.isdisjoint(better):
        return 0
    return preferred.near_ns if len(better) < len(preferred.labels) else preferred.far_ns


def is_presence(resource: str) -> bool:
    """Return whether a resource only says that an instance is alive: it is no lock for work."""
    return resource.startswith(_RESOURCE)


def presence_resource(label: str) -> str:
    """Return the resource whose lease says that an instance with this label is alive."""
    return _RESOURCE + label
