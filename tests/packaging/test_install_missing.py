"""Without root nothing is installed: one line says what is missing."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def as_nobody(root: Path, tmp_path: Path) -> list[str]:
    """The script, run by somebody who is not root, whoever runs this."""
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    path = f"PATH={tmp_path}:{os.environ['PATH']}"
    return ["env", "-u", "TICKGLASS_REQUIRE_SERVERS", path, str(root / "tools/install_missing.sh")]


def test_what_is_there_needs_no_word(as_nobody: list[str]) -> None:
    done = subprocess.run([*as_nobody, "sh:dash", "cat:coreutils"], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_what_is_missing_is_named_once_in_one_line(as_nobody: list[str]) -> None:
    words = ["no-such-server:server", "no-such-tool:server", "sh:dash"]
    done = subprocess.run([*as_nobody, *words], capture_output=True, text=True, check=True)
    assert done.stderr.startswith("missing: server (on Debian: sudo apt-get install --no-install-recommends server)")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("prefix", [["--required"], []])
def test_what_is_required_and_missing_is_an_error(prefix: list[str], as_nobody: list[str]) -> None:
    required = [] if prefix else ["TICKGLASS_REQUIRE_SERVERS=1"]
    command = [*as_nobody[:-1], *required, as_nobody[-1], *prefix, "no-such-server:server"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "required: server" in done.stderr
