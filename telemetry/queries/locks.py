"""Write what is asked of locks and of the store behind them: what is held for too long, and what fails. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.telemetry import catalogue

if TYPE_CHECKING:
    from tickglass.telemetry.queries.selector import Selector

__all__ = ["held_of_limit", "held_too_long", "left_of_lease", "store_error_share"]


def held_of_limit(scope: Selector) -> str:
    """Return for how much of its limit each lock has been held; only for locks that are held and have a limit."""
    held, limit = _held_and_limit(scope)
    return f"{held}\n/ on (resource)\n{limit}"


def held_too_long(scope: Selector) -> str:
    """Return for how many seconds each lock has been held that is held beyond its limit."""
    held, limit = _held_and_limit(scope)
    return f"{held}\n> on (resource)\n{limit}"


def left_of_lease(scope: Selector) -> str:
    """Return for how many seconds each lease that is renewed still lasts; negative: it has ended."""
    ttl, unrenewed = scope.max_by(catalogue.LOCK_TTL, "resource"), scope.max_by(catalogue.LOCK_UNRENEWED, "resource")
    return f"{ttl}\n- on (resource)\n{unrenewed}"


def store_error_share(scope: Selector, window: str) -> str:
    """Return the share of the calls to each store that failed."""
    errors = scope.rate_by(catalogue.STORE_ERRORS, "backend", window=window)
    calls = scope.rate_by(catalogue.STORE_DURATION, "backend", part="count", window=window)
    return f"{errors}\n/ on (backend)\n{calls}"


def _held_and_limit(scope: Selector) -> tuple[str, str]:
    return scope.max_by(catalogue.LOCK_HELD, "resource"), scope.max_by(catalogue.LOCK_MAX_HOLD, "resource")
