"""Log lines: what is said of each event, and the run's names in every line written inside one."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.metrics_stage import MS, SECOND, Stage
from msgspec.structs import replace
from opentelemetry.sdk.trace import TracerProvider

from tickglass.sched.errors import ConfigError
from tickglass.sched.events import (
    ClockStepped,
    InstantsElsewhere,
    InstantsMissed,
    InstantsSkipped,
    JobContested,
    ReadinessMoved,
    StoreCalled,
    StoreRecordMissing,
)
from tickglass.sched.lease import LockEvent, LockReason
from tickglass.sched.occurrence import Outcome
from tickglass.sched.run import Run, executing
from tickglass.sched.stop_signal import StopSignal
from tickglass.telemetry import LogSink, configure_logging
from tickglass.telemetry.logs import ConsoleFormatter, JsonFormatter, RunFilter

if TYPE_CHECKING:
    from collections.abc import Iterator


class WaitQueues(logging.Handler):
    """Keeps what a formatter makes of each record."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.addFilter(RunFilter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def logger() -> logging.Logger:
    logger = logging.Logger("app")  # noqa: LOG001 - in no tree: nothing else hears it
    logger.setLevel(logging.DEBUG)
    return logger


@pytest.fixture
def json_lines(logger: logging.Logger) -> list[str]:
    handler = WaitQueues(JsonFormatter())
    logger.addHandler(handler)
    return handler.lines


@pytest.fixture
def untouched_root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def run_of(stage: Stage, run_id: str) -> Run:
    lock = stage.lock("ledger", run_id=run_id)
    stage.hold(lock)
    lock.job = "nightly"
    return Run(lock, StopSignal(), due_ns=0, attempt=1, clock=stage.clock)


def test_a_line_written_inside_a_run_names_it(stage: Stage, logger: logging.Logger, json_lines: list[str]) -> None:
    run = run_of(stage, "ab" * 16)
    provider = TracerProvider(shutdown_on_exit=False)
    with executing(run, StopSignal()), provider.get_tracer("app").start_as_current_span("query") as span:
        logger.info("paid %s", 12)
    said = json.loads(json_lines[0])
    context = span.get_span_context()
    assert said.pop("time").endswith("Z")
    assert said == {
        "level": "info",
        "logger": "app",
        "message": "paid 12",
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "run_id": "ab" * 16,
        "job": "nightly",
        "resource": "ledger",
        "fence": 1,
    }


def test_a_line_without_a_span_has_the_run_id_as_its_trace_id(
    stage: Stage, logger: logging.Logger, json_lines: list[str]
) -> None:
    with executing(run_of(stage, "cd" * 16), StopSignal()):
        logger.info("paid")
    logger.info("outside")
    inside, outside = map(json.loads, json_lines)
    assert inside["trace_id"] == inside["run_id"] == "cd" * 16
    assert inside["span_id"] == "cd" * 8
    assert "trace_id" not in outside


def test_a_line_about_a_run_names_its_root_span_and_one_of_somebody_elses_ids_does_not(
    logger: logging.Logger, json_lines: list[str]
) -> None:
    logger.error("job nightly failed", extra={"run_id": "cd" * 16})
    logger.info("import done", extra={"run_id": "import-7"})
    ours, foreign = map(json.loads, json_lines)
    assert (ours["trace_id"], ours["span_id"]) == ("cd" * 16, "cd" * 8)
    assert "trace_id" not in foreign


def test_a_line_that_names_its_own_resource_keeps_it(
    stage: Stage, logger: logging.Logger, json_lines: list[str]
) -> None:
    with executing(run_of(stage, "cd" * 16), StopSignal()):
        logger.info("paid", extra={"resource": "order:1"})
    assert json.loads(json_lines[0])["resource"] == "order:1"


@given(st.text(), st.floats(), st.text(min_size=1))
def test_json_is_one_valid_line_whatever_is_said(message: str, number: float, name: str) -> None:
    record = logging.makeLogRecord({"msg": message, "levelname": "INFO", "name": "app"})
    record.__dict__["number"] = number
    record.__dict__.setdefault(f"x{name}", object())
    record.__dict__["time"] = "ours comes first"
    line = JsonFormatter().format(record)
    assert len(line.splitlines()) == 1

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    said = json.loads(line, parse_constant=refuse)
    assert said["message"] == message
    assert said["time"] != "ours comes first"


def test_arguments_that_do_not_fit_are_shown_not_lost(logger: logging.Logger, json_lines: list[str]) -> None:
    logger.info("%d things", "three")
    assert json.loads(json_lines[0])["message"] == "%d things ('three',)"


def test_an_exception_is_text_in_the_same_line(logger: logging.Logger, json_lines: list[str]) -> None:
    try:
        int("no such\naccount")
    except ValueError:
        logger.exception("failed", stack_info=True)
    said = json.loads(json_lines[0])
    assert "ValueError: invalid literal" in said["exception"]
    assert "Stack (most recent call last)" in said["exception"]


def test_the_console_shows_the_time_in_utc_with_milliseconds() -> None:
    record = logging.makeLogRecord({"msg": "hello", "levelname": "INFO", "name": "app", "created": 1_767_225_600.25})
    record.__dict__["run_id"] = "ab"
    assert ConsoleFormatter().format(record) == "2026-01-01T00:00:00.250Z INFO    app: hello  [run_id=ab]"
    try:
        int("no")
    except ValueError:
        record.exc_info = sys.exc_info()
    assert ConsoleFormatter().format(record).endswith("base 10: 'no'")


LINE = "2026-01-01T00:00:00.000Z INFO    tickglass.events: job payroll success"
FORGED = f"x\n{LINE}\x1b[2J\x1b]52;c;cm0gLXJm\x07\r\x7f\x9b31m\u202e"


@pytest.mark.parametrize("part", ["msg", "args", "name", "owner", "resource"])
def test_no_name_or_error_forges_a_console_line_or_reaches_the_terminal(part: str) -> None:
    record = logging.makeLogRecord({"msg": "job %s", "args": ("nightly",), "levelname": "INFO", "name": "app"})
    record.__dict__[part] = (FORGED,) if part == "args" else FORGED
    if part == "msg":
        record.args = None
    line = ConsoleFormatter().format(record)
    assert all(char.isprintable() for char in line)
    assert f"x␊{LINE}␛[2J␛]52;c;cm0gLXJm␇␍␡\\x9b31m\\u202e" in line


def test_nor_does_the_text_of_an_exception() -> None:
    record = logging.makeLogRecord({"msg": "job nightly failed", "levelname": "ERROR", "name": "app"})
    record.stack_info = f"Stack:\n{FORGED}"
    error = ValueError(FORGED)
    record.exc_info = (type(error), error, None)
    first, *below = ConsoleFormatter().format(record).split("\n")
    assert first.endswith("app: job nightly failed")
    assert all(line.startswith("    ") and line.isprintable() for line in below)
    assert sum("payroll" in line for line in below) == 2


@given(st.text())
def test_a_console_line_is_one_line_whatever_is_said(message: str) -> None:
    record = logging.makeLogRecord({"msg": message, "levelname": "INFO", "name": "app"})
    record.__dict__["owner"] = message
    assert len(ConsoleFormatter().format(record).splitlines()) == 1


def test_a_json_line_holds_no_control_character(logger: logging.Logger, json_lines: list[str]) -> None:
    logger.info("%s", FORGED, extra={"owner": FORGED})
    assert all(char.isprintable() for char in json_lines[0])
    assert json.loads(json_lines[0])["message"] == FORGED


def test_starts_and_ends_are_said_and_trouble_is_a_warning(
    stage: Stage, logger: logging.Logger, json_lines: list[str]
) -> None:
    logger.setLevel(logging.INFO)
    stage.sink = LogSink(logger)
    stage.register("nightly", resource="ledger")
    del json_lines[:]
    stage.run(stage.occurrence("nightly", run_id="ab" * 16))
    stage.run(stage.occurrence("nightly"), Outcome.TIMEOUT)
    lock = stage.lock("ledger")
    stage.hold(lock)
    lock.fire(LockEvent.RENEWAL_FAILED, reason=LockReason.STORE_UNAVAILABLE)
    lock.fire(LockEvent.LOST, other_owner="host-2")
    said = [json.loads(line) for line in json_lines]
    assert [(line["level"], line["message"]) for line in said] == [
        ("info", "job nightly due 2026-01-01T00:00:00.000+00:00 started"),
        ("info", "job nightly due 2026-01-01T00:00:00.000+00:00 success"),
        ("warning", "job nightly due 2026-01-01T00:00:01.000+00:00 timeout"),
        ("warning", "lock ledger renewal_failed: store_unavailable"),
        ("warning", "lock ledger lost (host-2)"),
    ]
    assert said[1]["run_id"] == said[1]["trace_id"] == "ab" * 16
    assert said[1]["resource"] == "ledger"
    assert said[1]["span_id"] == "ab" * 8
    assert said[1]["lateness_s"] == 0.01
    assert said[1]["ran_s"] == 1.0


def test_a_fast_job_fills_no_log_and_none_of_its_failures_is_missing(
    stage: Stage, logger: logging.Logger, json_lines: list[str]
) -> None:
    logger.setLevel(logging.INFO)
    stage.sink = LogSink(logger)
    stage.register("fast")
    stage.register("nightly")
    del json_lines[:]
    outcomes = [Outcome.SUCCESS] * 40 + [Outcome.FAILURE] * 2 + [Outcome.SUCCESS] * 20
    for outcome in outcomes:  # one a second
        stage.run(stage.occurrence("fast"), outcome)
    stage.run(stage.occurrence("nightly"))
    said = [
        (line["level"], line["job"], line["message"].partition("+00:00 ")[2]) for line in map(json.loads, json_lines)
    ]
    assert said == [
        ("info", "fast", "started"),
        ("info", "fast", "success"),
        ("warning", "fast", "failure"),
        ("warning", "fast", "failure"),
        ("info", "fast", "started, as 49 more since it was last told"),
        ("info", "fast", "success, as 47 more since it was last told"),
        ("info", "nightly", "started"),
        ("info", "nightly", "success"),
    ]


def test_at_debug_every_run_is_told(stage: Stage, logger: logging.Logger, json_lines: list[str]) -> None:
    stage.sink = LogSink(logger)
    stage.register("fast")
    del json_lines[:]
    for _ in range(5):
        stage.run(stage.occurrence("fast"))
    ends = [line["level"] for line in map(json.loads, json_lines) if line["message"].endswith(" success")]
    assert ends == ["info", "debug", "debug", "debug", "debug"]


def test_that_a_scheduler_is_not_ready_is_a_warning_with_all_reasons(
    stage: Stage, logger: logging.Logger, json_lines: list[str]
) -> None:
    logger.setLevel(logging.INFO)
    for error in ("it is full\nit is late", ""):
        LogSink(logger).record(ReadinessMoved(owner="host-1", service="s", error=error, wall_ns=stage.clock.wall_ns()))
    said = [json.loads(line) for line in json_lines]
    assert [(line["level"], line["message"], line["owner"]) for line in said] == [
        ("warning", "scheduler not ready: it is full; it is late", "host-1"),
        ("info", "scheduler ready", "host-1"),
    ]


def test_what_nobody_took_up_is_warned_of_once_a_minute_with_its_instants_and_its_reason(
    stage: Stage, logger: logging.Logger, json_lines: list[str]
) -> None:
    stage.sink = LogSink(logger)
    for event in (
        InstantsMissed(job="nightly", count=3, exact=False, first_due_ns=0, before_ns=1, wall_ns=0),
        InstantsMissed(job="nightly", count=1, exact=True, first_due_ns=MS, before_ns=2, wall_ns=SECOND, reason="pool"),
        InstantsMissed(job="nightly", count=1, exact=True, first_due_ns=MS, before_ns=2, wall_ns=60 * SECOND),
    ):
        stage.sink.record(event)
    told, due, absent = map(json.loads, json_lines), "1970-01-01T00:00:00", "no instance was there to take it up"
    assert [(line["level"], line["message"]) for line in told] == [
        (
            "warning",
            f"job nightly due at least 3 times since {due}.000+00:00 missed: no instance was there to take it up",
        ),
        ("debug", f"job nightly due {due}.001+00:00 missed: no worker was free in time"),
        ("warning", f"job nightly due {due}.001+00:00 missed: {absent}, as 1 more since it was last told"),
    ]


def test_the_rest_is_said_at_debug(stage: Stage, logger: logging.Logger, json_lines: list[str]) -> None:
    stage.sink = LogSink(logger)
    stage.register("nightly")
    stage.hold(stage.lock("ledger"))
    for event in (
        InstantsElsewhere(job="nightly", count=2, exact=True, first_due_ns=0, before_ns=1, wall_ns=0),
        InstantsSkipped(
            job="nightly",
            reason="overlap",
            count=3,
            exact=False,
            first_due_ns=0,
            latest_due_ns=2,
            next_due_ns=3,
            wall_ns=0,
        ),
        InstantsSkipped(
            job="nightly",
            reason="overlap",
            count=1,
            exact=True,
            first_due_ns=4,
            latest_due_ns=4,
            next_due_ns=5,
            wall_ns=10**9,
        ),
        InstantsSkipped(
            job="nightly",
            reason="overlap",
            count=1,
            exact=True,
            first_due_ns=6,
            latest_due_ns=6,
            next_due_ns=7,
            wall_ns=60 * 10**9,
        ),
        ClockStepped(step_ns=-1500 * MS, wall_ns=0),
        StoreCalled(store="redis", operation="claim", duration_ns=1, error="unavailable", wall_ns=0),
        StoreCalled(store="redis", operation="claim", duration_ns=1, error="", wall_ns=0),
    ):
        stage.sink.record(event)
    assert [(json.loads(line)["level"], json.loads(line)["message"]) for line in json_lines] == [
        ("info", 'job nightly registered: cron("0 2 * * *")'),
        ("debug", "lock ledger requested"),
        ("debug", "lock ledger granted"),
        ("debug", "job nightly: others were there for 2 due instants"),
        ("info", "job nightly due at least 3 times since 1970-01-01T00:00:00.000+00:00 skipped: overlap"),
        ("debug", "job nightly due 1970-01-01T00:00:00.000+00:00 skipped: overlap"),
        (
            "info",
            "job nightly due 1970-01-01T00:00:00.000+00:00 skipped: overlap, as 1 more since it was last told",
        ),
        ("warning", "the wall clock was set by -1.500 s"),
        ("warning", "redis store: claim failed: unavailable"),
    ]
    assert stage.clock.wall_ns() % SECOND == 0


def test_configuring_twice_does_not_double_the_lines(
    untouched_root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(untouched_root.handlers)
    configure_logging("console", "info")
    configure_logging("json", "DEBUG")
    assert len(untouched_root.handlers) == before + 1
    logging.getLogger("app").debug("once")
    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == ["once"]


@pytest.mark.parametrize("wrong", [{"format": "xml"}, {"level": "loud"}])
def test_a_wrong_format_or_level_is_refused_and_changes_nothing(
    untouched_root: logging.Logger, wrong: dict[str, str]
) -> None:
    before = list(untouched_root.handlers)
    with pytest.raises(ConfigError, match=next(iter(wrong.values()))):
        configure_logging(**wrong)
    assert untouched_root.handlers == before


def test_two_programs_with_one_job_are_a_warning_and_its_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    told = JobContested(
        job="nightly", owner="host-1", service="billing", claimant="host-9", since_wall_ns=0, wall_ns=SECOND
    )
    with caplog.at_level(logging.INFO, "tickglass.events"):
        LogSink().record(told)
        LogSink().record(replace(told, since_wall_ns=None))
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "nightly of service billing is in two programs: host-9 claims its instants" in caplog.messages[0]
    assert "since 1970-01-01T00:00:00+00:00; give one of the two another name or service" in caplog.messages[0]


def test_a_record_that_the_store_lacks_is_a_warning_that_names_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tickglass.events"):
        LogSink().record(StoreRecordMissing(store="redis", kind="job", name="billing/sync", wall_ns=0))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith("the redis store: the record of job billing/sync was deleted by hand: ")
