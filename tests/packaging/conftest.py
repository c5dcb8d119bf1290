"""What the packaging tests look at: the repository they stand in, as text and syntax trees."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON_FOLDERS = ("src", "sched", "telemetry", "dashboards", "alerts", "bench", "examples", "tests")


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def trees() -> dict[str, ast.Module]:
    """Every Python file of the repository, by its path from the root.

    Paths go by the folders at the root: `rglob` does not follow the links in src.
    """
    files = (file for folder in PYTHON_FOLDERS for file in sorted((ROOT / folder).rglob("*.py")))
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text(), str(file)) for file in files if not _linked(file)}


def _linked(file: Path) -> bool:
    return any(parent.is_symlink() for parent in file.parents)
