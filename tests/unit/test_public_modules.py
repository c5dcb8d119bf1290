"""docs/api.md lists the public modules and all that is in them, and docs and examples import nothing else."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs/api.md").read_text()
LISTED: Final = dict(re.findall(r"^## `(tickglass[\w.]*)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def names_in(section: str) -> list[str]:
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


@pytest.mark.parametrize("module", LISTED)
def test_the_page_lists_what_a_public_module_has(module: str) -> None:
    listed = names_in(LISTED[module])
    assert sorted(listed) == sorted(import_module(module).__all__)


@pytest.mark.parametrize("module", LISTED)
def test_a_public_module_has_what_it_lists_and_says_what_it_is_for(module: str) -> None:
    found = import_module(module)
    assert found.__doc__
    assert [name for name in found.__all__ if not hasattr(found, name)] == []


def test_the_table_at_the_top_is_that_of_the_sections() -> None:
    table = PAGE.partition("\n## ")[0]
    assert re.findall(r"^\| \[`([\w.]+)`\]", table, re.MULTILINE) == list(LISTED)


def test_the_public_clocks_are_those_of_the_core() -> None:
    new, old = import_module("tickglass.clock"), import_module("tickglass.sched.clock")
    assert all(getattr(new, name) is getattr(old, name) for name in new.__all__)


def test_every_public_name_of_the_core_is_the_same_object() -> None:
    """An old import path and the public one must not give two classes: `isinstance` and `except` compare them."""
    for public, private in (
        ("tickglass.events", "tickglass.sched.events"),
        ("tickglass.fencing", "tickglass.sched.fencing"),
    ):
        new, old = import_module(public), import_module(private)
        assert set(old.__all__) <= set(new.__all__)
        assert all(getattr(new, name) is getattr(old, name) for name in old.__all__)


@pytest.mark.parametrize(
    "path",
    [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("*.py"))],
    ids=str,
)
def test_users_are_told_to_import_public_modules_only(path: Path) -> None:
    imported = re.findall(r"\b(?:from|import) (tickglass[\w.]*)", path.read_text())
    assert set(imported) <= LISTED.keys()
