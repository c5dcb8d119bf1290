from __future__ import annotations

import io
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest
from kit.sidecar_views import EVERY_NS, GRACE_NS, TTL_NS, SidecarRig
from kit.view_samples import ill, job_of, well
from rich.cells import cell_len
from rich.console import Console

from tickglass.cli.commands.watch import ViewPoller, poll_and_draw
from tickglass.cli.sidecar_client import Unreachable
from tickglass.cli.watch_screen import screen_of
from tickglass.sched.durations import SECOND
from tickglass.sched.occurrence import Outcome
from tickglass.telemetry.sidecar.view import View

if TYPE_CHECKING:
    from unit.cli.conftest import Serve, Tickglass


def drawn(view: View, problem: str = "") -> str:
    console = Console(file=io.StringIO(), width=300, highlight=False)
    console.print(screen_of(view, of="here", problem=problem))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.fixture
def rig() -> SidecarRig:
    return SidecarRig()


def test_a_picture_shows_jobs_locks_schedulers_and_stores(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    rig.register()
    for outcome in (Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT):
        occurrence = scheduler.occurrence("nightly", rig.clock.wall_ns())
        scheduler.begin(occurrence)
        scheduler.run_on(occurrence, scheduler.lock("nightly", "nightly", occurrence.run_id), fence=1)
        rig.clock.advance(1)
        scheduler.end(occurrence, outcome)
    rig.claim("nightly", owner="host-2")
    rig.clock.advance(SECOND)
    rig.probe()
    lines = drawn(rig.view()).splitlines()
    assert lines[:2] == ["Not well: job nightly", "here"]
    assert lines[2] == "! job nightly has failed 2 times in a row"
    assert "scheduler host-1 (billing) running" in lines[3]
    assert lines[4].startswith("store memory:// ok  looked 0.00 ms ago  1 leases  1 jobs")
    (job,) = [line for line in lines if line.startswith("nightly") and ".FT" in line]
    assert "running 1.00 s" in job
    (lock,) = [line for line in lines if line.startswith("nightly") and "host-2 (nightly)" in line]
    assert "held" in lock


def test_what_is_not_well_is_said_in_words(rig: SidecarRig) -> None:
    rig.register()
    rig.claim(owner="dead")
    rig.clock.advance(TTL_NS + EVERY_NS + GRACE_NS + SECOND)
    rig.probe()
    text = drawn(rig.view(), "this is the last answer: gone")
    assert "! this is the last answer: gone" in text
    assert "overdue 36.00 s" in text
    assert "expired, stuck" in text
    assert "A!" in text
    assert text.splitlines()[1] == "Not well: lock nightly, job nightly"


def crowded() -> View:
    """Return a fleet too large for any terminal, whose problems come last by name."""
    fleet = ill()
    jobs = [job_of(f"a_quiet_job_{number:02}", "5s", []) for number in range(59)]
    locks = [msgspec.structs.replace(fleet.locks[0], resource=f"a_quiet_lock_{number:02}") for number in range(20)]
    why = "no instance claimed it: it was due 1m30s ago, its grace of 30s has passed"
    overdue = job_of("zz_overdue_with_quite_a_name", "1m", [], overdue_ns=90 * SECOND, why=why)
    return msgspec.structs.replace(fleet, jobs=[*jobs, *fleet.jobs, overdue], locks=[*locks, *fleet.locks])


@pytest.mark.parametrize("width", [80, 100])
def test_on_a_small_terminal_what_is_wrong_is_seen_and_the_rest_is_counted(
    width: int, serve: Serve, tickglass: Tickglass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickglass.cli.commands.watch.poll_and_draw", lambda _watching, _clock, _every, draw: draw())
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": str(width), "LINES": "24"}
    output = tickglass("watch", "--sidecar", serve(crowded), **terminal).stdout
    _, _, screen = output.rpartition("\x1b[H")  # what was drawn last
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen).splitlines()]
    assert len(lines) <= 24
    assert max(map(cell_len, lines)) <= width
    assert lines[0] == "Not well: lock ledger:eu, job close_books, job send_invoices and 1 more"
    assert lines[2].startswith("! lock ledger:eu is stuck: host-2/billing/0 has held it for 4m12s")
    (locks,) = [place for place, line in enumerate(lines) if line.startswith("lock  ")]
    (jobs,) = [place for place, line in enumerate(lines) if line.startswith("job  ")]
    assert re.match(r"ledger:eu +held, stuck +4m12s", lines[locks + 2])
    assert re.match(r"and \d\d more locks", lines[jobs - 1])
    assert lines[jobs].endswith("why")
    in_trouble = lines[jobs + 2 : jobs + 5]
    assert [line.split()[0][:15] for line in in_trouble] == ["close_books", "send_invoices", "zz_overdue_with"]
    assert "overdue 1m30s" in in_trouble[2]
    assert "no instance claimed" in in_trouble[2]
    assert re.match(r"and \d\d more jobs", lines[-1])


@pytest.mark.parametrize("height", range(1, 120, 7))
@pytest.mark.parametrize("width", [20, 80, 99, 130])
def test_a_picture_is_never_larger_than_its_terminal(width: int, height: int) -> None:
    for view in (crowded(), well(), View(at_wall_ns=1)):
        console = Console(file=io.StringIO(), width=width, highlight=False)
        console.print(screen_of(view, of="here", problem="gone", width=width, height=height))
        assert isinstance(console.file, io.StringIO)
        lines = console.file.getvalue().splitlines()
        assert len(lines) <= max(height, 3)  # the first three are always there: that it is old, the verdict, of what
        assert max(map(cell_len, lines)) <= width


def test_where_there_is_room_nothing_is_left_out() -> None:
    text = drawn(crowded())
    assert "more jobs" not in text
    assert all(job.name in text for job in crowded().jobs)
    assert all(lock.resource in text for lock in crowded().locks)


def test_it_needs_no_web_server() -> None:
    nothing = "import sys; sys.modules.update(dict.fromkeys(['starlette', 'jinja2', 'uvicorn']))"
    subprocess.run(
        [sys.executable, "-c", f"{nothing}; import tickglass.cli.commands.watch, tickglass.cli.commands.why"],
        check=True,
    )


@pytest.mark.parametrize("view", [well(), ill()])
def test_every_view_can_be_drawn(view: View) -> None:
    text = drawn(view)
    for job in view.jobs:
        assert job.name in text


def test_a_name_is_not_markup(rig: SidecarRig) -> None:
    rig.scheduler().start("[red]alert[/red]")
    assert "[red]alert[/red]" in drawn(rig.view())


def test_without_a_terminal_there_is_one_picture(rig: SidecarRig, serve: Serve, tickglass: Tickglass) -> None:
    rig.scheduler().start("nightly")
    result = tickglass("watch", "--sidecar", serve(rig.view))
    assert result.exit_code == 0
    assert "scheduler host-1 (billing) running" in result.stdout


def test_nobody_to_watch_and_a_wrong_pace_are_told(free_port: int, tickglass: Tickglass) -> None:
    assert tickglass("watch", "--sidecar", f"http://127.0.0.1:{free_port}").exit_code == 3
    assert tickglass("watch", "--every", "often").exit_code == 2
    assert tickglass("watch", "--every", "1ms").exit_code == 2


def test_a_sidecar_that_stops_answering_leaves_its_last_picture(rig: SidecarRig) -> None:
    rig.scheduler().start("nightly")
    answers = iter([rig.view(), None, rig.view()])

    def ask() -> View:
        view = next(answers)
        if view is None:
            raise Unreachable("gone")
        return view

    watching = ViewPoller(ask)
    watching.poll()
    assert (watching.problem, len(watching.view.jobs)) == ("this is the last answer: gone", 1)
    watching.poll()
    assert watching.problem == ""


def test_watch_draws_until_it_is_interrupted(rig: SidecarRig) -> None:
    pictures: list[int] = []

    def draw() -> None:
        pictures.append(len(pictures))
        if len(pictures) == 3:
            raise KeyboardInterrupt

    class Hurried(type(rig.clock)):  # type: ignore[misc] # a clock on which nobody waits
        def wait(self, until_ns: int | None, wake: object) -> bool:
            assert wake is not None
            self.advance((until_ns or 0) - self.monotonic_ns())
            return False

    poll_and_draw(ViewPoller(rig.view), Hurried(), SECOND, draw)
    assert pictures == [0, 1, 2]
