"""What docs/locks.md shows is what one sees."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

from tickglass import HeldLease
from tickglass.sched.lock_terms import LockTerms

PAGE = Path(__file__).parents[2] / "docs" / "locks.md"


def test_the_page_tells_the_truth() -> None:
    result = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert result.attempted >= 6
    assert result.failed == 0


def test_the_page_names_all_that_a_lease_shows_and_all_that_can_be_asked_for() -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = set(re.findall(r"`lease\.(\w+)", page))
    public = {name for name in vars(HeldLease) if not name.startswith("_")} | {"fence"}
    assert public - {"report_stale_fence"} == shown
    for term in ("ttl", "wait", "blocking", "renew", "prefer"):
        assert f"`{term}=" in page
    assert {name.removesuffix("_ns") for name in LockTerms.__slots__} == {
        "resource",
        "ttl",
        "wait",
        "blocking",
        "renew",
        "prefer",
    }
