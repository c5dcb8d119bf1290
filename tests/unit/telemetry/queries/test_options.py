"""What an operator chooses: the corners are in tests/alerts/test_selectors.py, where Prometheus itself judges."""

from __future__ import annotations

import pytest

from tickglass.sched.errors import ConfigError
from tickglass.telemetry.queries.options import checked_on_time_s, matchers_of


def test_a_selector_is_taken_apart() -> None:
    assert matchers_of('namespace="prod" , cluster=~"eu-.*"') == ['namespace="prod"', 'cluster=~"eu-.*"']
    assert matchers_of("") == []


def test_a_bound_of_the_lateness_is_taken_and_another_number_is_refused() -> None:
    assert checked_on_time_s(0.1) == 0.1
    with pytest.raises(ConfigError, match="bounds"):
        checked_on_time_s(0.2)
