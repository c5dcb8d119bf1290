"""`tickglass run`: what cannot be found is named; the running itself is proved in tests/fleet."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest

from tickglass.cli.commands.run import find_scheduler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unit.cli.conftest import Tickglass

APP = """
from tickglass import Scheduler, every
jobs = Scheduler("memory://")
other = Scheduler("memory://")
count = 3
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to be in; imports and logging are afterwards as they were."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = set(sys.modules)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield tmp_path
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    "where", ["", "app", "app:", ":jobs", "app.py.:jobs", ".app:jobs", "my app:jobs", "app/x:jobs"]
)
def test_what_is_no_name_of_a_scheduler_is_refused_with_a_right_spelling(where: str, tickglass: Tickglass) -> None:
    result = tickglass("run", where)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"Error: a scheduler is named by its module, a colon and its name\n    {where}\n  write: app:scheduler\n"
    )
    assert "write: shop:scheduler" in tickglass("run", "shop").stderr


def test_a_module_that_is_not_there_is_named(here: Path, tickglass: Tickglass) -> None:
    result = tickglass("run", "nowhere:jobs")
    assert result.exit_code == 2
    assert result.stderr == f"Error: there is no module nowhere in {here}\n    nowhere:jobs\n    ^^^^^^^\n"


@pytest.mark.parametrize(("wrong", "marked"), [("app.py", "app.py"), ("ap", "ap"), ("App", "App")])
def test_a_module_that_is_not_there_is_answered_with_a_near_one(
    wrong: str, marked: str, here: Path, tickglass: Tickglass
) -> None:
    (here / "app.py").write_text(APP)
    result = tickglass("run", f"{wrong}:jobs")
    assert result.exit_code == 2
    assert f"there is no module {marked} in" in result.stderr
    assert result.stderr.endswith("  write: app:jobs\n")


def test_a_name_that_the_module_does_not_have_is_answered_with_those_it_has(here: Path, tickglass: Tickglass) -> None:
    (here / "app.py").write_text(APP)
    result = tickglass("run", "app:job")
    assert result.exit_code == 2
    assert result.stderr == "Error: app has no job\n    app:job\n        ^^^\n  write: app:jobs\n"
    assert tickglass("run", "app:scheduler").stderr.endswith("  write: app:jobs   or   app:other\n")


def test_what_is_no_scheduler_is_refused_by_its_type(here: Path, tickglass: Tickglass) -> None:
    (here / "app.py").write_text(APP)
    result = tickglass("run", "app:count")
    assert result.exit_code == 2
    assert result.stderr == "Error: count is a int, not a Scheduler\n    app:count\n        ^^^^^\n"


def test_what_a_module_declares_wrongly_is_a_message(here: Path, tickglass: Tickglass) -> None:
    (here / "app.py").write_text('from tickglass import Scheduler\njobs = Scheduler("memory://", drain="soon")\n')
    result = tickglass("run", "app:jobs")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: drain is not a duration")


def test_a_library_that_a_module_misses_keeps_its_traceback(here: Path, tickglass: Tickglass) -> None:
    (here / "app.py").write_text("import not_installed\n")
    with pytest.raises(ModuleNotFoundError, match="not_installed"):
        tickglass("run", "app:jobs")


def test_a_scheduler_is_found_in_a_package_and_a_file_here_hides_no_library(here: Path) -> None:
    (here / "shop").mkdir()
    (here / "shop" / "__init__.py").touch()
    (here / "shop" / "jobs.py").write_text(APP)
    (here / "click.py").write_text("raise RuntimeError('not this one')\n")
    assert find_scheduler("shop.jobs:other").store_url == "memory://"


def test_a_store_that_cannot_be_used_is_a_message(here: Path, tickglass: Tickglass) -> None:
    (here / "app.py").write_text('from tickglass import Scheduler\njobs = Scheduler("sqlite:///no/jobs.db")\n')
    result = tickglass("run", "app:jobs")
    assert result.exit_code == 2
    assert "no/jobs.db" in result.stderr
