"""A crontab becomes a jobs file that says the same; what cannot be said stays, with a remark."""

from __future__ import annotations

import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.jobs_files import GOLDEN, checked_jobs, trigger_in

from tickglass import ConfigError
from tickglass.importing import read_crontab

if TYPE_CHECKING:
    from tickglass.importing import Imported


def remarks(found: Imported) -> list[tuple[int, str]]:
    return [(remark.line, remark.text) for remark in found.remarks]


def one(line: str, *, tz: str = "UTC") -> tuple[str, str | list[str]]:
    """Return trigger and command of a crontab with one job, which is said the same way."""
    found = read_crontab(line, tz=tz, system=False)
    assert found.remarks == ()
    (job,) = checked_jobs(found).values()
    return job["trigger"], job["command"]


@pytest.mark.parametrize(
    ("name", "tz", "counts"), [("user-crontab", None, (11, 7, 9)), ("system-crontab", "Europe/Berlin", (6, 0, 6))]
)
def test_a_real_crontab_becomes_this_file(name: str, tz: str | None, counts: tuple[int, int, int]) -> None:
    source = (GOLDEN / name).read_text()
    found = read_crontab(source, tz=tz)
    assert found.text == (GOLDEN / f"{name}.toml").read_text()
    checked_jobs(found)
    assert (found.jobs, found.kept, len(found.remarks)) == counts
    active = [line for line in source.splitlines() if line.strip() and line[0] not in "#ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    assert found.jobs + found.kept == len(active)


def test_a_line_is_a_job_with_the_same_command() -> None:
    assert one("30 2 * * *\tbackup --all\r", tz="Europe/Warsaw") == (
        'cron("30 2 * * *", tz="Europe/Warsaw")',
        "backup --all",
    )
    assert one("  @daily   echo 'it is' \"late\" \\n  ")[1] == "echo 'it is' \"late\" \\n"


def test_a_machine_whose_zone_is_not_known_is_told_once() -> None:
    found = read_crontab("0 1 * * * a\n0 2 * * * b\n")
    assert [line for line, _ in remarks(found)] == [0]
    assert "import with --tz ZONE" in found.remarks[0].text
    assert read_crontab("# nothing\n").remarks == ()
    with pytest.raises(ConfigError, match="Europe/Warsav"):
        read_crontab("", tz="Europe/Warsav")


def test_variables_are_valid_for_the_lines_below_them() -> None:
    text = "0 1 * * * a\nCRON_TZ='Asia/Tokyo'\nA = b c\n0 2 * * * b\nCRON_TZ=UTC\nSHELL=/bin/bash\n0 3 * * * c"
    jobs = checked_jobs(read_crontab(text, tz="Europe/Warsaw"))
    assert [job["trigger"] for job in jobs.values()] == [
        'cron("0 1 * * *", tz="Europe/Warsaw")',
        'cron("0 2 * * *", tz="Asia/Tokyo")',
        'cron("0 3 * * *")',
    ]
    assert [job["command"] for job in jobs.values()] == [
        "a",
        ["/usr/bin/env", "A=b c", "/bin/sh", "-c", "b"],
        ["/usr/bin/env", "A=b c", "/bin/bash", "-c", "c"],
    ]


def test_the_command_runs_as_under_cron() -> None:
    text = 'GREETING="it\'s"\n0 1 * * * printf \'\\%s \' "$GREETING"; cat%Hello,%%it is 100\\% done.'
    (job,) = checked_jobs(read_crontab(text, tz="UTC")).values()
    ran = subprocess.run(job["command"], capture_output=True, text=True, check=True)
    assert ran.stdout == "it's Hello,\n\nit is 100% done.\n"


def test_the_end_of_the_input_is_none_of_its_lines() -> None:
    _, command = one("0 1 * * * cat # all of it%END_OF_INPUT%END_OF_INPUT_%x")
    assert isinstance(command, str)
    ran = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert ran.stdout == "END_OF_INPUT\nEND_OF_INPUT_\nx\n"


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("@reboot start", "@reboot names no instant"),
        ("0 4 */2 * 1 odd", "a day must match both day fields"),
        ("0 4 1 * */2 odd", "a day must match both day fields"),
        ("*/90 * * * * often", "a step of 90 is larger"),
        ("0 0 30 2 * never", "that day never comes"),
        ("0~30 5 * * * random", "0~30 is no minute"),
        ("@fortnightly x", "there is no alias @fortnightly"),
        ("CRON_TZ=Mars/Base\n0 1 * * * x", "Mars/Base"),
        ("0 1 * *", "no line of a crontab"),
        ("0 1 * * *", "no line of a crontab"),
        ("@daily", "no line of a crontab"),
        ("backup at two o'clock every night", "no line of a crontab"),
    ],
)
def test_what_cannot_be_said_is_a_comment_with_a_remark(text: str, remark: str) -> None:
    found = read_crontab(text, tz="UTC")
    assert checked_jobs(found) == {}
    (told,) = found.remarks
    assert (told.line, found.kept) == (len(text.splitlines()), 1)
    assert remark in told.text
    last = text.splitlines()[-1]
    assert f"# remark: {told.text}\n# {last}\n" in found.text


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("MAILTO=ops@example.com", "nothing is mailed"),
        ("HOME=/srv/app", "starts the commands in this folder"),
        ("TZ=Asia/Tokyo", "some crons take TZ"),
        ("RANDOM_DELAY=some", "this is no number of minutes"),
    ],
)
def test_a_variable_that_means_something_else_has_a_remark(text: str, remark: str) -> None:
    found = read_crontab(f"{text}\n0 1 * * * backup", tz="UTC")
    assert len(checked_jobs(found)) == 1
    (told,) = found.remarks
    assert (told.line, found.kept) == (1, 0)
    assert remark in told.text
    assert f"# {text}" in found.text


def test_a_mail_to_nobody_and_a_random_delay_are_said() -> None:
    found = read_crontab('MAILTO=""\nRANDOM_DELAY=10\nCRON_TZ=Asia/Tokyo\nTZ=UTC\n0 1 * * * backup')
    assert found.remarks == ()
    (job,) = checked_jobs(found).values()
    assert job["trigger"] == 'cron("0 1 * * *", tz="Asia/Tokyo", jitter="10m")'
    assert job["command"] == ["/usr/bin/env", "TZ=UTC", "/bin/sh", "-c", "backup"]


def test_a_user_a_quiet_line_and_an_odd_shell_have_remarks() -> None:
    found = read_crontab("SHELL=/bin/tcsh\n-0 1 * * * www-data cat%hello", tz="UTC", system=True)
    (job,) = checked_jobs(found).values()
    assert job["command"][:2] == ["/bin/tcsh", "-c"]
    assert [text.split()[0:5] for _, text in remarks(found)] == [
        ["cron", "runs", "this", "as", "user"],
        ["the", "-", "before", "the", "times"],
        ["what", "follows", "the", "%", "is"],
    ]


def test_both_day_fields_mean_the_same_as_in_cron() -> None:
    jobs = checked_jobs(read_crontab("0 0 13 * 5 x", tz="UTC"))
    trigger = trigger_in(jobs, "x")
    day_ns = 86_400_000_000_000
    due = [trigger.next_after_ns(20_454 * day_ns)]  # 2026-01-01, a Thursday
    for _ in range(4):
        due.append(trigger.next_after_ns(due[-1] or 0))
    assert [(each or 0) // day_ns - 20_453 for each in due] == [2, 9, 13, 16, 23]


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ("0 1 * * * root backup --all", True),
        ("0 1 * * *\troot\ttest -x a && b\n5 1 * * * backup /usr/bin/dump", True),
        ("0 1 * * * root", False),
        ("0 1 * * * root --macro x", False),
        ("0 1 * * * backup all", False),
        ("0 1 * * * root backup\n0 1 * * * /usr/bin/dump x", False),
        ("0 1 * * * root backup\n0 1 * * * dump", False),
        ("0 1 * * * rsync a b\n0 1 * * * python script.py", False),
    ],
)
def test_a_column_of_users_is_seen_only_where_it_is_certain(text: str, system: bool) -> None:  # noqa: FBT001 - a column
    found = read_crontab(text, tz="UTC")
    assert any("cron runs this as user" in remark.text for remark in found.remarks) is system


def test_a_column_of_users_can_be_named() -> None:
    text = "0 1 * * * alice backup\n0 1 * * * alice"
    found = read_crontab(text, tz="UTC", system=True)
    assert [job["command"] for job in checked_jobs(found).values()] == ["backup"]
    assert found.kept == 1
    both = checked_jobs(read_crontab(text, tz="UTC", system=False))
    assert [job["command"] for job in both.values()] == ["alice backup", "alice"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_nothing_is_lost_and_the_file_is_always_toml(text: str) -> None:
    found = read_crontab(f"0 1 * * * {text}\n# {text}\n{text}", tz="UTC")
    checked_jobs(found)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_command_is_read_back_as_it_was(text: str) -> None:
    command = f"x{text}".strip().replace("%", "")
    found = read_crontab(f"0 1 * * * {command}", tz="UTC", system=False)
    (job,) = tomllib.loads(found.text)["jobs"].values()
    assert job["command"] == command
