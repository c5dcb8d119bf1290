"""A program for APScheduler becomes a jobs file that says the same, and is never run."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from kit.jobs_files import GOLDEN, checked_jobs

from tickglass import ConfigError
from tickglass.importing import read_apscheduler

if TYPE_CHECKING:
    from pathlib import Path

    from tickglass.importing import Imported

HEAD = "from apscheduler.schedulers.background import BackgroundScheduler\ns = BackgroundScheduler(timezone='UTC')\n"
IMPORTS = "from functools import partial\nfrom shop import Shop\nlater = partial(print)\n"
DEFAULTS = "{'misfire_grace_time': 60, 'max_instances': 2}"
TICK = f"{HEAD}def tick(): ...\ndef greet(name, times=1): ...\n"


def read(code: str, *, tz: str | None = None) -> Imported:
    found = read_apscheduler(code, module="shop.jobs", tz=tz)
    checked_jobs(found)
    return found


def job_of(call: str, *, tz: str | None = None) -> dict[str, Any]:
    """Return the job that a call gives, which is said the same way."""
    found = read(f"{TICK}{call}", tz=tz)
    assert found.remarks == ()
    ((name, job),) = tomllib.loads(found.text)["jobs"].items()
    return {"name": name, **job}


def test_a_real_program_becomes_this_file() -> None:
    found = read_apscheduler((GOLDEN / "scheduling.py.txt").read_text(), module="shop.scheduling")
    assert found.text == (GOLDEN / "scheduling.toml").read_text()
    checked_jobs(found)
    assert (found.jobs, found.kept, len(found.remarks)) == (14, 6, 17)


def test_the_program_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    code = f"open({str(mark)!r}, 'w')\nimport no_such_module\n{TICK}s.add_job(tick, 'interval', seconds=len([1]))\n"
    assert read(code).kept == 1
    assert not mark.exists()


@pytest.mark.parametrize("code", ["def", "x = '\0'", "(" * 5_000])
def test_what_is_no_python_is_refused(code: str) -> None:
    with pytest.raises(ConfigError, match="no Python"):
        read_apscheduler(code, module="x")


@pytest.mark.parametrize(
    ("function", "target"),
    [
        ("tick", "shop.jobs:tick"),
        ("'shop.stock:sync'", "shop.stock:sync"),
        ("sync", "shop.stock:sync"),
        ("renamed", "shop.stock:other"),
        ("stock.sync", "shop.stock:sync"),
        ("shop.stock.sync", "shop.stock:sync"),
        ("st.sync", "shop.stock:sync"),
        ("clean", "shop.cleanup:clean"),
        ("cleanup.clean", "shop.cleanup:clean"),
        ("top", "base:top"),
    ],
)
def test_a_function_is_named_by_its_module(function: str, target: str) -> None:
    imports = (
        "import shop.stock\nimport shop.stock as st\nfrom shop import stock\n"
        "from shop.stock import sync, other as renamed\n"
        "from .cleanup import clean\nfrom . import cleanup\nfrom base import top\n"
    )
    found = read(f"{imports}{TICK}s.add_job({function}, 'interval', hours=1)")
    assert found.remarks == ()
    assert next(iter(checked_jobs(found).values()))["target"] == target


@pytest.mark.parametrize(
    "function",
    ["lambda: 1", "partial(tick, 1)", "self.tick", "Shop.tick", "unknown", "shops['a'].tick", "'tick'", "later"],
)
def test_a_function_that_cannot_be_named_is_a_comment(function: str) -> None:
    found = read(f"{IMPORTS}{TICK}s.add_job({function}, 'interval', hours=1)")
    assert (found.jobs, found.kept) == (0, 1)
    assert "this is no function of a module that can be named" in found.remarks[0].text


def test_a_method_or_an_inner_function_with_a_decorator_is_a_comment() -> None:
    code = f"{HEAD}class A:\n    @s.scheduled_job('interval', hours=1)\n    def tick(self):\n        ...\n"
    found = read(code)
    assert "is in a class or a function" in found.remarks[0].text
    assert "\n# @s.scheduled_job('interval', hours=1)\n# def tick(self):\n" in f"{found.text}"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("s.add_job(tick, 'interval', seconds=0.25)", 'every("250ms")'),
        ("s.add_job(tick, 'interval', weeks=1, days=1, minutes=5)", 'every("8d5m")'),
        ("s.add_job(tick, 'interval')", 'every("1s")'),
        ("s.add_job(trigger='interval', func=tick, minutes=MINUTES * 2)", 'every("10m")'),
        ("s.add_job(tick, IntervalTrigger(0, 0, 2))", 'every("2h")'),
        ("s.add_job(tick, IntervalTrigger(hours=1, jitter=30))", 'every("1h", jitter="30s")'),
        ("s.add_job(tick, HOURLY)", 'every("1h")'),
        (
            "s.add_job(tick, CronTrigger.from_crontab('0 0 * * 0', 'Asia/Tokyo'))",
            'cron("0 0 * * MON", tz="Asia/Tokyo")',
        ),
        ("s.add_job(tick, CronTrigger(hour=3, timezone=ZoneInfo('Asia/Tokyo')))", 'cron("0 3 * * *", tz="Asia/Tokyo")'),
        ("s.add_job(tick, 'cron', hour=3)", 'cron("0 3 * * *")'),
        ("s.add_job(tick, 'date', run_date='2027-01-31T02:30:00+01:00')", 'at("2027-01-31T01:30:00+00:00")'),
        (
            "s.add_job(tick, 'date', run_date=datetime(2027, 1, 31, tzinfo=timezone.utc))",
            'at("2027-01-31T00:00:00+00:00")',
        ),
        (
            "s.add_job(tick, 'date', run_date=date(2027, 1, 31), timezone='Asia/Tokyo')",
            'at("2027-01-30T15:00:00+00:00")',
        ),
        ("s.add_job(tick, DateTrigger(dt.datetime(2027, 1, 31, 1), 'Asia/Tokyo'))", 'at("2027-01-30T16:00:00+00:00")'),
    ],
)
def test_a_trigger_is_said_with_ours(call: str, expected: str) -> None:
    constants = "MINUTES = 5\nHOURLY: IntervalTrigger = IntervalTrigger(hours=1)\n"
    assert job_of(f"{constants}{call}")["trigger"] == expected


def test_a_job_has_its_id_arguments_and_grace() -> None:
    given = "[1], {'times': 2}, 'my job.1', misfire_grace_time=90, hours=1, replace_existing=True"
    assert job_of(f"s.add_job(greet, 'interval', {given})") == {
        "name": "my job.1",
        "target": "shop.jobs:greet",
        "trigger": 'every("1h")',
        "arguments": {"name": 1, "times": 2},
        "misfire_grace": "1m30s",
    }


def test_defaults_of_the_scheduler_are_those_of_its_jobs() -> None:
    code = f"from a import f\ns = BlockingScheduler(job_defaults={DEFAULTS}, timezone='Asia/Tokyo')\n"
    found = read(
        f"{code}s.add_job(f, 'cron', hour=1)\ns.add_job(f, 'cron', hour=2, misfire_grace_time=5, max_instances=1)"
    )
    first, second = checked_jobs(found).values()
    assert first["trigger"] == 'cron("0 1 * * *", tz="Asia/Tokyo")'
    assert (first["misfire_grace"], second["misfire_grace"]) == ("1m", "5s")
    assert [remark.line for remark in found.remarks] == [3]


def test_a_trigger_object_goes_by_the_machine_and_not_by_the_scheduler() -> None:
    code = "from a import f\ns = BlockingScheduler(timezone='Asia/Tokyo')\ns.add_job(f, CronTrigger(hour=1))"
    assert "the zone of that clock is not in the file" in read(code).remarks[0].text
    found = read(code, tz="Europe/Warsaw")
    assert found.remarks == ()
    assert 'cron("0 1 * * *", tz="Europe/Warsaw")' in found.text


def test_an_interval_needs_no_zone() -> None:
    assert read("from a import f\ns.add_job(f, 'interval', hours=1)").remarks == ()


@pytest.mark.parametrize(
    ("arguments", "remark"),
    [
        ("'interval', hours=1, max_instances=2", "max_instances=2 cannot be said"),
        ("'interval', hours=1, coalesce=False", "coalesce=False cannot be said"),
        ("'interval', hours=1, executor='processes'", "executor='processes' cannot be said"),
        ("'interval', hours=1, misfire_grace_time=None", "here it is at most 12h"),
        ("'interval', hours=1, misfire_grace_time=86400", "longer than the longest here, 12h"),
        ("'interval', hours=1, misfire_grace_time=GRACE", "misfire_grace_time= is not a literal: GRACE"),
        ("'interval', hours=1, next_run_time=datetime(2027, 1, 1)", "next_run_time= cannot be said"),
        ("'interval', hours=1, next_run_time=datetime.now()", "next_run_time= is not a literal"),
        ("'interval', hours=1, id=f'{x}'", "the name is that of the function"),
        ("'interval', hours=1, id=''", "a job name is needed; the name is that of the function"),
        ("'interval', hours=1, start_date='2026-01-01'", "start_date= cannot be said"),
        ("'cron', hour=1, end_date='2027-01-01'", "end_date= cannot be said"),
        ("'interval', hours=1, kwargs={'times': 2}, func=greet", "first parameter, name: here it gets the run"),
    ],
)
def test_what_differs_has_a_remark_and_the_job_is_there(arguments: str, remark: str) -> None:
    trigger, _, more = arguments.partition(", ")
    function, more = ("", more) if "func=" in more else ("func=tick, ", more)
    found = read(f"{TICK}s.add_job({function}trigger={trigger}, {more})")
    assert (found.jobs, found.kept) == (1, 0)
    (told,) = found.remarks
    assert remark in told.text
    assert told.line == 5
    assert f"# remark: {told.text}\n[jobs." in found.text


@pytest.mark.parametrize(
    ("call", "remark"),
    [
        ("s.add_job(tick)", "without a trigger"),
        ("s.add_job(trigger='interval', hours=1)", "no function is named"),
        ("s.add_job(tick, 'date')", "without run_date="),
        ("s.add_job(tick, 'date', run_date='soon')", "run_date is no instant: 'soon'"),
        ("s.add_job(tick, 'interval', hours='1')", "this is no interval"),
        ("s.add_job(tick, 'interval', hours=-1)", "an interval is not negative"),
        ("s.add_job(tick, 'interval', hour=1)", "hour= is no argument of a trigger of kind interval"),
        ("s.add_job(tick, 'calendarinterval', days=1)", "there is no trigger like this here"),
        ("s.add_job(tick, AndTrigger([1]))", "there is no trigger like this here"),
        ("s.add_job(tick, 'interval', **OPTIONS)", "unpacked with * or **"),
        ("s.add_job(*OPTIONS)", "unpacked with * or **"),
        ("s.add_job(tick, KIND, hours=1)", "the trigger is not a literal: KIND"),
        ("s.add_job(tick, 'cron', hour=HOUR)", "hour= is not a literal: HOUR"),
        ("s.add_job(tick, 'cron', week=1)", "week='1' cannot be said"),
        ("s.add_job(tick, 'cron', year=2027)", "year='2027' cannot be said"),
        ("s.add_job(tick, 'cron', day=1, day_of_week='mon')", "a day must match both"),
        ("s.add_job(tick, 'cron', day='1st mon', day_of_week='mon')", "a day must match both"),
        ("s.add_job(tick, 'cron', day='1st mon,15')", "names days and weekdays"),
        ("s.add_job(tick, 'cron', day='1st moon')", "moon is no weekday"),
        ("s.add_job(tick, 'cron', day_of_week='fri-mon')", "refused by APScheduler"),
        ("s.add_job(tick, 'cron', day_of_week='1 2')", "day_of_week='1 2' is none"),
        ("s.add_job(tick, 'cron', hour=25)", "hour"),
        ("s.add_job(tick, 'cron', hour=1, timezone='Mars/Base')", "Mars/Base"),
        ("s.add_job(tick, 'cron', hour=1, jitter='x')", "jitter is no duration"),
        ("s.add_job(tick, CronTrigger.from_crontab('0 1 * *'))", "five fields"),
        ("s.add_job(tick, 'interval', hours=1, next_run_time=None)", "adds it paused"),
        ("s.add_job(tick, 'interval', hours=1, args=[1])", "args= has no names that shop.jobs:tick takes"),
        ("s.add_job('a:f', 'interval', hours=1, args=[1])", "args= is positional"),
        ("s.add_job(tick, 'interval', hours=1, kwargs={'name': None})", "no form in TOML"),
        ("s.add_job(tick, 'interval', hours=1, kwargs={'name': make()})", "kwargs= is not a literal"),
        ("s.add_job(tick, 'interval', hours=9 ** 9 ** 9)", "hours= is not a literal"),
        ("s.add_job(tick, 'interval', hours=10 ** 9 * 10 ** 9)", "hours= is not a literal"),
    ],
)
def test_what_cannot_be_said_is_a_comment_with_a_remark(call: str, remark: str) -> None:
    found = read(f"{TICK}HOUR = 1\nHOUR = 2\n{call}")
    assert (found.jobs, found.kept) == (0, 1)
    (told,) = found.remarks
    assert remark in told.text
    assert told.line == 7
    assert f"# remark: {told.text}\n# {call}\n" in found.text


@pytest.mark.parametrize(
    ("code", "remark"),
    [
        ("for n in range(3):\n    s.add_job(tick, 'interval', hours=1)", "it is in a loop"),
        ("[s.add_job(tick, 'interval', hours=1) for n in x]", "it is in a loop"),
        ("if DEBUG:\n    s.add_job(tick, 'interval', hours=1)", "under a condition"),
        ("s.add_job(tick, 'interval', hours=1) if DEBUG else None", "under a condition"),
        ("s.add_jobstore('sqlalchemy', url='sqlite:///x')\ns.add_job(tick, 'interval', hours=1)", "are pickled"),
        ("s.configure(timezone=find())\ns.add_job(tick, 'interval', hours=1)", "timezone= is not a literal: find()"),
    ],
)
def test_what_is_around_a_call_has_a_remark(code: str, remark: str) -> None:
    found = read(f"{TICK}{code}")
    assert found.jobs == 1
    (told,) = found.remarks
    assert remark in told.text


def test_the_main_block_and_a_function_are_no_conditions() -> None:
    found = read(
        f"{TICK}def main():\n    s.add_job(tick, 'interval', hours=1)\n"
        "if __name__ == '__main__':\n    s.add_job(tick, 'interval', hours=2)"
    )
    assert (found.jobs, found.remarks) == (2, ())


def test_a_call_of_several_lines_stays_whole() -> None:
    found = read(f"{TICK}if True:\n    s.add_job(\n        tick,\n        'cron',\n        week=1,\n    )\n")
    assert "\n# s.add_job(\n#     tick,\n#     'cron',\n#     week=1,\n# )\n" in found.text
