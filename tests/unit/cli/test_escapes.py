"""Whatever jobs, names and errors hold, a terminal shows it and obeys none of it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from kit.metrics_stage import Stage
from kit.view_samples import ill
from rich.console import Console

from tickglass.cli.demo_table import DemoTable, EventLines
from tickglass.cli.watch_screen import screen_of
from tickglass.sched.events import InstantsMissed, InstantsSkipped
from tickglass.sched.lease import LockEvent
from tickglass.sched.occurrence import OccurrenceEvent, Outcome
from tickglass.telemetry.sidecar.view import View

if TYPE_CHECKING:
    from unit.cli.conftest import Filled, Serve, Tickglass

# Red, the window's title, the clipboard, the same as C1, DEL, and an order to write backwards.
EVIL = "\x1b[31mevil\x1b]0;title\x07\x1b]52;c;aGk=\x07\x9b1m\x9d0;t\x9c\x7f\u202e"


def assert_harmless(output: str) -> None:
    assert "evil" in output, "it is shown all the same"
    left = sorted({char for char in output if char != "\n" and (not char.isprintable() or char == "\u202e")})
    assert left == [], output


def spoiled(told: Any) -> Any:  # noqa: ANN401 - what JSON has
    """Put an escape behind every text that is free to be anything."""
    if isinstance(told, dict):
        return {key: value if key in ("outcome", "state") else spoiled(value) for key, value in told.items()}
    if isinstance(told, list):
        return [spoiled(value) for value in told]
    return told + EVIL if isinstance(told, str) else told


@pytest.fixture
def bad_view() -> View:
    return msgspec.convert(spoiled(msgspec.to_builtins(ill())), View)


def test_no_name_reaches_the_terminal_in_a_picture_of_watch(bad_view: View) -> None:
    console = Console(file=io.StringIO(), width=300, highlight=False)
    console.print(screen_of(bad_view, of="here", problem=EVIL))
    assert isinstance(console.file, io.StringIO)
    assert_harmless(console.file.getvalue())


def test_no_name_reaches_the_terminal_in_the_answers_of_watch_and_why(
    serve: Serve, bad_view: View, tickglass: Tickglass
) -> None:
    url = serve(lambda: bad_view)
    for words in (
        ("watch",),
        ("why", f"close_books{EVIL}"),
        ("why", f"close_books{EVIL}", "2000-01-01T00:00"),
        ("why", f"close_book{EVIL}"),
        ("why", f"close_books{EVIL}", "--service", "x"),
    ):
        result = tickglass(*words, "--sidecar", url)
        assert_harmless(result.output)
    assert bad_view.jobs[0].recent[-1].owner.endswith(EVIL)


@pytest.mark.parametrize("command", ["jobs", "locks", "runs"])
def test_no_name_reaches_the_terminal_in_what_a_store_holds(command: str, filled: Filled, tickglass: Tickglass) -> None:
    name = f"nightly{EVIL}"
    filled.register(name, trigger=EVIL, next_due_ns=1)
    filled.settle(filled.claim(name), name, "failure", detail=f"ValueError: {EVIL}")
    filled.lock(f"order{EVIL}")
    assert_harmless(tickglass(command, filled.url).output)
    assert_harmless(tickglass("why", name, "--store", filled.url).output)
    assert_harmless(tickglass(command, filled.url, "--job", "nightlx" + EVIL).output)


def test_no_name_reaches_the_terminal_in_the_table_and_lines_of_the_demo() -> None:
    stage = Stage()
    console = Console(file=io.StringIO(), width=300, highlight=False)
    for sink in (DemoTable(stage.clock), EventLines(console)):
        stage.sink = sink
        stage.register(f"nightly{EVIL}", resource=f"ledger{EVIL}")
        occurrence = stage.occurrence(f"nightly{EVIL}")
        for event in (OccurrenceEvent.FELL_DUE, OccurrenceEvent.ADMITTED, OccurrenceEvent.TAKEN):
            occurrence.fire(event, next_due_ns=2)
        lock = stage.lock(f"ledger{EVIL}", run_id="a" * 32)
        lock.fire(LockEvent.REQUESTED)
        lock.fire(LockEvent.GRANTED, fence=1)
        occurrence.fire(OccurrenceEvent.CLAIMED)
        occurrence.fire(OccurrenceEvent.STARTED)
        occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.FAILURE, error=f"ValueError: {EVIL}")
        sink.record(InstantsMissed(job=f"nightly{EVIL}", count=2, exact=True, first_due_ns=1, before_ns=9, wall_ns=1))
        sink.record(
            InstantsSkipped(
                job=f"nightly{EVIL}",
                reason="overlap",
                count=2,
                exact=True,
                first_due_ns=1,
                latest_due_ns=9,
                next_due_ns=None,
                wall_ns=1,
            )
        )
        if isinstance(sink, DemoTable):
            console.print(sink.table(200))
    assert isinstance(console.file, io.StringIO)
    assert_harmless(console.file.getvalue())
