"""Every example runs as it is, and does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.servers import RedisServer

EXAMPLES = Path(__file__).parents[2] / "examples"
EXPECTED = {
    "hand_lock.py": ["present sold an apple", " has been seen; nothing was written", "in time: False", "9 apples left"],
    "app.py": ["sync under fence", "reconciled, attempt 1"],
    "from_file.py": [
        "restock_apples: up to 12 apples",
        "restock_pears: up to 7 pears",
        "renamed failed: ImportError: from_file:no_such_function: from_file has no function no_such_function",
    ],
    "own_loop.py": ["order 1, sold under fence", "sold: 5"],
    "own_sink.py": ["slower_than_its_interval did not run: skipped overlap"],
}


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(EXPECTED)


NEEDS_REDIS = {"own_loop.py"}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_does_what_it_says(
    name: str, tmp_path: Path, redis_servers: Callable[[int], list[RedisServer]]
) -> None:
    environ = {**os.environ, "PYTHONPATH": str(EXAMPLES)}  # the folder of a script, also under PYTHONSAFEPATH
    if name in NEEDS_REDIS:
        (server,) = redis_servers(1)
        environ["REDIS_URL"] = server.url
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for words in EXPECTED[name]:
        assert words in done.stdout
