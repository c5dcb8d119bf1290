"""`tickglass import` writes a jobs file and says by its exit code whether anything differs."""

from __future__ import annotations

import os
import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest
from kit.processes import TICKGLASS

if TYPE_CHECKING:
    from pathlib import Path

    from unit.cli.conftest import Tickglass

PROGRAM = "def f(): ...\nscheduler.add_job(f, 'interval', hours=1)\n"


@pytest.fixture
def crontab(tmp_path: Path) -> Path:
    file = tmp_path / "crontab"
    file.write_text("30 2 * * * backup --all\n")
    return file


def test_a_crontab_is_written_to_standard_output(tickglass: Tickglass, crontab: Path) -> None:
    result = tickglass("import", "crontab", str(crontab), "--tz", "Europe/Warsaw")
    assert result.exit_code == 0, result.output
    job = {"command": "backup --all", "trigger": 'cron("30 2 * * *", tz="Europe/Warsaw")'}
    assert tomllib.loads(result.stdout) == {"jobs": {"backup": job}}
    assert result.stderr == "1 job written, 0 left as comments, 0 remarks\n"


def test_what_differs_makes_exit_code_1(tickglass: Tickglass, crontab: Path) -> None:
    result = tickglass("import", "crontab", str(crontab))
    assert result.exit_code == 1
    assert tomllib.loads(result.stdout)["jobs"]["backup"]["trigger"] == 'cron("30 2 * * *")'
    assert result.stderr == "1 job written, 0 left as comments, 1 remark\n"


def test_a_crontab_may_come_from_another_command() -> None:
    ran = subprocess.run(
        [TICKGLASS, "import", "crontab", "-", "--tz", "UTC"],
        input=b"@reboot x\n@daily y\n",
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 1
    assert list(tomllib.loads(ran.stdout.decode())["jobs"]) == ["y"]
    assert ran.stderr.decode() == f"1 job written, 1 left as comments, 1 remark{os.linesep}"


def test_a_column_of_users_can_be_named_and_denied(tickglass: Tickglass, crontab: Path) -> None:
    crontab.write_text("0 1 * * * root backup all\n")
    commands = []
    for option in ([], ["--system"], ["--no-system"]):
        result = tickglass("import", "crontab", str(crontab), "--tz", "UTC", *option)
        commands += [job["command"] for job in tomllib.loads(result.stdout)["jobs"].values()]
    assert commands == ["backup all", "backup all", "root backup all"]


def test_a_new_file_is_written_and_no_old_one_is_written_over(
    tickglass: Tickglass, crontab: Path, tmp_path: Path
) -> None:
    output = tmp_path / "jobs.toml"
    options = ("import", "crontab", str(crontab), "--tz", "UTC", "--output", str(output))
    result = tickglass(*options)
    assert (result.exit_code, result.stdout) == (0, "")
    assert list(tomllib.loads(output.read_text())["jobs"]) == ["backup"]
    output.write_text("mine")
    again = tickglass(*options)
    assert again.exit_code == 2
    assert "no new file can be written there: File exists" in again.stderr
    assert output.read_text() == "mine"


def test_a_module_is_named_by_its_packages(tickglass: Tickglass, tmp_path: Path) -> None:
    package = tmp_path / "shop" / "tasks"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text(PROGRAM)
    (package / "jobs.py").write_text(PROGRAM)
    (tmp_path / "alone.py").write_text(PROGRAM)
    files = (package / "jobs.py", package / "__init__.py", tmp_path / "alone.py")
    results = [tickglass("import", "apscheduler", str(file)) for file in files]
    results.append(tickglass("import", "apscheduler", str(files[0]), "--module", "other"))
    assert [result.exit_code for result in results] == [0] * 4
    targets = [tomllib.loads(result.stdout)["jobs"]["f"]["target"] for result in results]
    assert targets == ["shop.tasks.jobs:f", "shop.tasks:f", "alone:f", "other:f"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["crontab", "nowhere"], "the file cannot be read: No such file or directory"),
        (["crontab", "FILE", "--tz", "Europe/Warsav"], "no zone Europe/Warsav"),
        (["crontab", "LATIN"], "line 2 is not UTF-8"),
        (["apscheduler", "FILE"], "line 1 is no Python"),
        (["apscheduler", "-"], "write: --module shop.scheduling"),
    ],
)
def test_what_is_wrong_is_said(
    tickglass: Tickglass, crontab: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    latin = tmp_path / "latin"
    latin.write_bytes(b"# a\n# gr\xf6\xdfe\n")
    files = {"FILE": str(crontab), "LATIN": str(latin)}
    result = tickglass("import", *(files.get(each, each) for each in arguments))
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
