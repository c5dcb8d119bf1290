"""What is wrong in a jobs file is shown with its line, and with what is right."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from tickglass.jobs_file.reading import POLICIES, read_entries
from tickglass.jobs_file.source import Source
from tickglass.sched.errors import ConfigError
from tickglass.sched.job import Policies

JOB = """[jobs.nightly]
target = "billing.jobs:nightly"
trigger = 'cron("30 2 * * *", tz="Europe/Warsaw")'
"""


def test_a_job_may_say_every_policy_but_its_name() -> None:
    assert set(POLICIES) == set(get_type_hints(Policies)) - {"name"}


def test_a_job_is_read_with_the_defaults_that_it_does_not_overrule() -> None:
    text = (
        '[defaults]\ntimeout = "10m"\nrenew = true\n'
        + JOB
        + 'timeout = "5m"\narguments = { region = "eu" }\n'
        + '[jobs.backup]\ncommand = ["backup", "--all"]\ntrigger = \'every("60s")\'\n'
    )
    nightly, backup = read_entries(Source("jobs.toml", text))
    assert (nightly.name, nightly.target, nightly.command) == ("nightly", "billing.jobs:nightly", None)
    assert str(nightly.trigger) == 'cron("30 2 * * *", tz="Europe/Warsaw")'
    assert nightly.policies == {"timeout": "5m", "renew": True}
    assert nightly.set_in == {"timeout": ("jobs", "nightly", "timeout"), "renew": ("defaults", "renew")}
    assert (nightly.module, nightly.arguments) == ("billing.jobs", {"region": "eu"})
    assert (backup.target, backup.command, backup.module) == (None, ("backup", "--all"), "")
    assert backup.policies == {"timeout": "10m", "renew": True}


def test_a_file_without_jobs_declares_none() -> None:
    assert read_entries(Source("jobs.toml", "")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[job.x]\n", "jobs.toml:1: a jobs file has no key job\n    [job.x]\n     ^^^\n  write: [jobs.NAME]"),
        ("version = 1\n", "write: [defaults]   or   [jobs.NAME]"),
        ("defaults = 3\n", "jobs.toml:1: defaults is a table, not int"),
        ("[[jobs]]\n", "jobs.toml:1: jobs is a table, not list"),
        ("[jobs]\nx = 1\n", "jobs.toml:2: x is a table, not int"),
        ('[defaults]\ntimeot = "1s"\n', "jobs.toml:2: [defaults] has no key timeot"),
        ('[defaults]\ntarget = "a:b"\n', "jobs.toml:2: [defaults] has no key target"),
        ("[defaults]\nrenew = 1\n", "jobs.toml:2: renew is true or false, not int"),
        (JOB + 'timeot = "5m"\n', "jobs.toml:4: [jobs.nightly] has no key timeot\n"),
        (JOB + 'timeot = "5m"\n', "  write: timeout"),
        (JOB + 'name = "x"\n', "jobs.toml:4: a job's name is that of its table\n"),
        (JOB + "timeout = 5\n", "jobs.toml:4: timeout is a text in quotes, not int"),
        (JOB + 'command = "x"\n', "jobs.toml:4: a job has a target or a command, not both"),
        ("[jobs.x]\ntrigger = 'every(\"1s\")'\n", "jobs.toml:1: a job has a target or a command\n"),
        (JOB.replace("trigger", "#"), "jobs.toml:1: a job needs a trigger\n"),
        ('[jobs.x]\ntarget="a:b"\ntrigger = 5\n', "jobs.toml:3: trigger is a text in quotes, not int"),
        (JOB.replace("30 2", "30 25"), "jobs.toml:3: 25 is out of range: hour runs from 0 to 23\n"),
        (JOB.replace("Warsaw", "Warsav"), "jobs.toml:3: the tz database has no zone Europe/Warsav"),
        (JOB.replace("cron(", "crn("), "  write: cron(...)"),
        (
            JOB.replace("cron(", "crn("),
            '    trigger = \'crn("30 2 * * *", tz="Europe/Warsaw")\'\n' + " " * 15 + "^^^\n",
        ),
        (JOB.replace("jobs:nightly", "jobs.nightly"), "jobs.toml:2: a target is a module, a colon and the name"),
        (JOB.replace("billing.jobs:", "billing/jobs:"), "jobs.toml:2: a target is a module, a colon and the name"),
        (JOB + "arguments = 3\n", "jobs.toml:4: arguments is a table, not int"),
        ("[jobs.x]\ncommand = ''\ntrigger='every(\"1s\")'\n", "jobs.toml:2: a command is a line for the shell"),
        ("[jobs.x]\ncommand = []\ntrigger='every(\"1s\")'\n", "jobs.toml:2: a command is a line for the shell"),
        ("[jobs.x]\ncommand = ['a', 1]\ntrigger='every(\"1s\")'\n", "jobs.toml:2: a command is a line for the shell"),
        (
            "[jobs.x]\ncommand = 'a'\narguments = {a = 1}\ntrigger='every(\"1s\")'\n",
            "jobs.toml:3: a command has no arguments beside its own words",
        ),
        (JOB + '[jobs." x"]\n', "jobs.toml:4: a job name has no control characters and no blanks at its ends"),
        (JOB + "[jobs.__x]\n", "jobs.toml:4: a job name does not begin with two underscores"),
    ],
)
def test_what_is_wrong_is_shown_with_its_line_and_what_is_right(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_entries(Source("jobs.toml", text))
    assert message in str(refused.value)
    assert str(refused.value).startswith("jobs.toml:")
