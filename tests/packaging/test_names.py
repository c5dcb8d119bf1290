"""`sched` is a name of the standard library's: three guards that nobody mixes up the two."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

RUFF = Path(sysconfig.get_path("scripts"), "ruff")


def test_a_bare_sched_is_the_standard_librarys(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sched; print(sched.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env=os.environ | {"PYTHONSAFEPATH": "1"},
    )
    assert Path(done.stdout.strip()).is_relative_to(sysconfig.get_path("stdlib"))


@pytest.mark.parametrize("name", ["sched", "telemetry", "dashboards", "alerts"])
def test_the_linter_refuses_the_bare_name(name: str, root: Path) -> None:
    done = subprocess.run(
        [RUFF, "check", "--no-cache", "--select", "TID251", "--stdin-filename", str(root / "src/tickglass/x.py"), "-"],
        input=f"import {name}\nfrom {name} import anything\nfrom {name}.deeper import anything\n",
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
    )
    assert done.returncode == 1, done.stderr
    assert len(re.findall(rf"TID251 .*`{name}", done.stdout)) == 3, done.stdout


def test_every_make_target_shuts_the_current_directory_out(root: Path, tmp_path: Path) -> None:
    """Run each target's recipes for real, but in a shell that only notes what it was given."""
    notes = tmp_path / "notes"
    shell = tmp_path / "shell"
    shell.write_text(f'#!/bin/sh\necho "safe=$PYTHONSAFEPATH" >>{notes}\n')
    shell.chmod(0o755)
    targets = re.findall(r"^([a-z-]+):.*## ", (root / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test", "check", "bench", "bench-quick", "generate", "help"} <= set(targets)
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONSAFEPATH", "MAKEFLAGS"}}
    for target in targets:
        notes.write_text("")
        command = ["make", "--always-make", f"SHELL={shell}", f"VENV={tmp_path}/venv", target]
        subprocess.run(command, check=True, cwd=root, env=environment, capture_output=True)
        assert set(notes.read_text().split()) == {"safe=1"}, target
