"""What is read of a request that anybody may have written. Forms are tested in test_app.py."""

from __future__ import annotations

import pytest

from tickglass.telemetry.sidecar.web.bodies import number_in


@pytest.mark.parametrize("number", [0, 7, 1_796_103_373_825_987_445, (1 << 63) - 1])
def test_a_number_that_stores_can_hold_is_read(number: int) -> None:
    assert number_in(str(number)) == number


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.5", "²", "\N{ARABIC-INDIC DIGIT ONE}", "x", str(1 << 63), "9" * 5_000]
)
def test_anything_else_is_none(text: str) -> None:
    assert number_in(text) is None
