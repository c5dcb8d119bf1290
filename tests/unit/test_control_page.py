"""What docs/control.md shows is what one sees."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.control.audit import ActKind
from tickglass.sched.ports import AUDIT_KEPT

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "control.md"

pytestmark = pytest.mark.usefixtures("own_runtime")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert (tmp_path / "jobs.db").exists()


@pytest.mark.usefixtures("elsewhere")
def test_the_page_tells_the_truth() -> None:
    result = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert result.attempted >= 15
    assert result.failed == 0


def test_the_page_names_every_act_and_how_many_are_kept() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(ActKind)
    assert f"the latest {AUDIT_KEPT:,}" in page
