"""Name everything that can go wrong, with its facts as attributes.

Pure: builds messages, nothing else. Expected answers of a store (a lost race,
say) are values, not errors; see ports/.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ConfigError",
    "ControlRefused",
    "IllegalTransition",
    "LeaseLost",
    "LockInUse",
    "LockNotAcquired",
    "LockNotHeld",
    "StaleFence",
    "StoreUnavailable",
    "TickglassError",
    "failure_text",
    "nearest",
]


class TickglassError(Exception):
    """The root of every error that this package raises on purpose."""


class ConfigError(TickglassError, ValueError):
    """Something written by the user is wrong; nothing was changed.

    The message shows the text as it was written, points at the offending part,
    and names the right spelling where it is known what was meant.

    Args:
        problem: what is wrong, in one sentence without a full stop.
        given: the text as the user wrote it, shown on a line of its own.
        span: start and end offsets of the offending part in `given`.
        instead: right spellings of what was meant, best first.
        examples: how it is written, where it is unclear what was meant.
    """

    def __init__(
        self,
        problem: str,
        *,
        given: str | None = None,
        span: tuple[int, int] | None = None,
        instead: tuple[str, ...] = (),
        examples: tuple[str, ...] = (),
    ) -> None:
        self.problem = problem
        self.given = given
        self.span = span
        self.instead = instead
        self.examples = examples
        super().__init__(self._message())

    def for_variable(self, variable: str) -> ConfigError:
        """Return the error as it is if an environment variable said what is wrong."""
        prefix = f"{variable}="
        return ConfigError(
            self.problem,
            given=None if self.given is None else prefix + self.given,
            span=None if self.span is None else (self.span[0] + len(prefix), self.span[1] + len(prefix)),
            instead=tuple(prefix + right for right in self.instead),
            examples=tuple(prefix + right for right in self.examples),
        )

    def _message(self) -> str:
        lines = [self.problem]
        if self.given is not None:
            lines.append(f"    {self.given}")
            if self.span is not None:
                start, end = self.span
                lines.append("    " + " " * start + "^" * max(1, end - start))
        if self.instead:
            lines.append("  write: " + "   or   ".join(self.instead))
        if self.examples:
            lines.append("  for example: " + "   or   ".join(self.examples))
        return "\n".join(lines)


class ControlRefused(TickglassError):  # noqa: N818 - says what happened
    """What an operator asked for cannot be done; nothing was changed.

    Args:
        problem: why not, in one sentence without a full stop.
        instead: what was perhaps meant: names, instants, ids; best first.
    """

    def __init__(self, problem: str, *, instead: tuple[str, ...] = ()) -> None:
        self.problem = problem
        self.instead = instead
        super().__init__(problem + (f" ({' or '.join(instead)}?)" if instead else ""))


class IllegalTransition(TickglassError):  # noqa: N818 - says what happened
    """A state machine was asked for a move that its table does not have: a bug of ours."""

    def __init__(self, machine: str, before: object, event: object) -> None:
        self.machine = machine
        self.before = before
        self.event = event
        super().__init__(f"{machine}: no move {event} from {before}")


class StoreUnavailable(TickglassError):  # noqa: N818 - says what happened
    """The store did not answer, or its answer makes no sense.

    Args:
        store: the technology, e.g. "sqlite".
        operation: the port's method that was called.
        kind: "unavailable" when it could not be reached in time, "error" when
            it was reached and failed.
    """

    def __init__(self, store: str, operation: str, detail: str, *, kind: str = "unavailable") -> None:
        self.store = store
        self.operation = operation
        self.detail = detail
        self.kind = kind
        super().__init__(f"{store} store, {operation}: {detail}")


class LockNotAcquired(TickglassError):  # noqa: N818 - says what happened
    """A `with` block asked for a lock, and another owner kept it.

    Args:
        holder: owner of the lease that was in the way, "" if none was seen.
        waited_s: seconds since it was asked for.
        reason: "held" (it was tried once), "timeout" (it was tried as long as
            `wait` allowed) or "cancelled" (the waiting was ended).
    """

    def __init__(self, resource: str, holder: str, waited_s: float, *, reason: str = "held") -> None:
        self.resource = resource
        self.holder = holder
        self.waited_s = waited_s
        self.reason = reason
        who = f"; {holder} holds it" if holder else ""
        super().__init__(f"lock {resource} was not acquired: {reason} after {waited_s:.3f} s{who}")


class LockInUse(TickglassError):  # noqa: N818 - says what happened
    """A lock object was asked to acquire while it already holds its lock, or waits for it."""

    def __init__(self, resource: str) -> None:
        self.resource = resource
        super().__init__(
            f"lock {resource} is held or waited for through this object; release it first, or make another"
        )


class LockNotHeld(TickglassError):  # noqa: N818 - says what happened
    """A lock object was asked to release what it has not acquired."""

    def __init__(self, resource: str) -> None:
        self.resource = resource
        super().__init__(f"lock {resource} is not held through this object; acquire() comes before release()")


class LeaseLost(TickglassError):  # noqa: N818 - says what happened
    """A lease can no longer be trusted: it ran out, was taken, or was given back."""

    def __init__(self, resource: str, fence: int) -> None:
        self.resource = resource
        self.fence = fence
        super().__init__(f"the lease on {resource} (fence {fence}) can no longer be trusted; stop before you write")


class StaleFence(TickglassError):  # noqa: N818 - says what happened
    """A guarded write was refused: a newer fence was recorded, or the writer has none.

    Args:
        fence: what the write carried; 0: it came from a run without a claim.
        newest: the newest that the guard has seen; 0 if it did not read it.
    """

    def __init__(self, resource: str, fence: int, newest: int) -> None:
        self.resource = resource
        self.fence = fence
        self.newest = newest
        why = f"is stale, {newest} has been seen" if fence > 0 else "is that of a run without a claim"
        super().__init__(f"{resource}: fence {fence} {why}; nothing was written")


def nearest(name: str, known: Iterable[str], *, most: int = 3) -> tuple[str, ...]:
    """Return the known names that a wrong one may mean, the nearest first; capital letters make no difference."""
    spelled = {word.casefold(): word for word in known}
    return tuple(spelled[word] for word in get_close_matches(name.casefold(), spelled, n=most))


def failure_text(error: BaseException) -> str:
    """Return what user code raised, as valid Unicode, even if its own text cannot be made."""
    try:
        text = f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 - its own __str__ raised
        text = type(error).__name__
    return text.encode("utf-8", "replace").decode()
