"""Queries about locks: a board shows a lock as stuck where a rule fires."""

from __future__ import annotations

from tickglass.alerts import RuleScope
from tickglass.telemetry import thresholds
from tickglass.telemetry.queries.locks import held_of_limit, held_too_long


def test_a_lock_that_is_held_too_long_is_held_for_all_of_its_limit() -> None:
    scope = RuleScope()
    matching = "on (cluster, namespace, resource, service) group_left ()"
    held, limit = held_too_long(scope).split(f"\n> {matching}\n")
    assert held_of_limit(scope).split(f"\n/ {matching}\n") == [held, limit]
    assert thresholds.HELD_OF_LIMIT == 1
