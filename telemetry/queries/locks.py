"""Write what is asked of locks and of the store behind them: what is held for too long, and what fails. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.telemetry import catalogue
from tickglass.telemetry.queries.selector import on

if TYPE_CHECKING:
    from tickglass.telemetry.queries.selector import Selector

__all__ = ["by_holder", "held_of_limit", "held_too_long", "left_of_lease", "store_error_share"]


def by_holder(scope: Selector) -> tuple[str, ...]:
    """Return the labels of a lock and of its holder."""
    return (*scope.by_resource, "owner", "service")


def held_of_limit(scope: Selector) -> str:
    """Return for how much of its limit each lock has been held; only for locks that are held and have a limit."""
    held, limit = _held_and_limit(scope)
    return f"{held}\n/ {_of_service(scope)}\n{limit}"


def held_too_long(scope: Selector) -> str:
    """Return for how many seconds each lock has been held that is held beyond its limit, by holder."""
    held, limit = _held_and_limit(scope)
    return f"{held}\n> {_of_service(scope)}\n{limit}"


def left_of_lease(scope: Selector) -> str:
    """Return for how many seconds each lease that is renewed still lasts; negative: it has ended."""
    ttl = scope.max_by(catalogue.LOCK_TTL, *scope.by_resource)
    return f"{ttl}\n- {on(scope.by_resource)}\n{scope.max_by(catalogue.LOCK_UNRENEWED, *scope.by_resource)}"


def store_error_share(scope: Selector, window: str, *labels: str) -> str:
    """Return the share of the calls to each store that failed, by these labels."""
    errors = scope.rate_by(catalogue.STORE_ERRORS, *labels, window=window)
    calls = scope.rate_by(catalogue.STORE_DURATION, *labels, part="count", window=window)
    return f"{errors}\n/ {on(labels)}\n{calls}"


def _held_and_limit(scope: Selector) -> tuple[str, str]:
    held = scope.max_by(catalogue.LOCK_HELD, *by_holder(scope))
    return held, scope.max_by(catalogue.LOCK_MAX_HOLD, *scope.by_resource, "service")


def _of_service(scope: Selector) -> str:
    """Return what joins a holder with the limit of its own service."""
    return f"{on((*scope.by_resource, 'service'))} group_left ()"
