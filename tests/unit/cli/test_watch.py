from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from lookout import EVERY_NS, GRACE_NS, TTL_NS, Lookout
from rich.console import Console
from sights import ill, well

from tickglass.cli.asking import Unanswered
from tickglass.cli.picture import picture_of
from tickglass.cli.watch import Watching, keep_drawing
from tickglass.sched.durations import SECOND
from tickglass.sched.occurrence import Outcome
from tickglass.telemetry.sidecar.web import SidecarServer, sidecar_app

if TYPE_CHECKING:
    from unit.cli.conftest import Tickglass

    from tickglass.telemetry.sidecar.view import View


def drawn(view: View, trouble: str = "") -> str:
    console = Console(file=io.StringIO(), width=300, highlight=False)
    console.print(picture_of(view, of="here", trouble=trouble))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.fixture
def lookout() -> Lookout:
    return Lookout()


def test_a_picture_shows_jobs_locks_schedulers_and_stores(lookout: Lookout) -> None:
    teller = lookout.teller()
    teller.start("nightly")
    lookout.register()
    for outcome in (Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT):
        occurrence = teller.occurrence("nightly", lookout.clock.wall_ns())
        teller.begin(occurrence)
        teller.run_on(occurrence, teller.lock("nightly", "nightly", occurrence.run_id), fence=1)
        lookout.clock.advance(1)
        teller.end(occurrence, outcome)
    lookout.claim("nightly", owner="host-2")
    lookout.clock.advance(SECOND)
    lookout.look()
    lines = drawn(lookout.view()).splitlines()
    assert "scheduler host-1 (billing) running" in lines[1]
    assert lines[2].startswith("store memory:// ok  looked 0.00 ms ago  1 leases  1 jobs")
    (job,) = [line for line in lines if line.startswith("nightly") and ".FT" in line]
    assert "running 1.00 s" in job
    (lock,) = [line for line in lines if line.startswith("nightly") and "host-2 (nightly)" in line]
    assert "held" in lock


def test_what_is_not_well_is_said_in_words(lookout: Lookout) -> None:
    lookout.register()
    lookout.claim(owner="dead")
    lookout.clock.advance(TTL_NS + EVERY_NS + GRACE_NS + SECOND)
    lookout.look()
    text = drawn(lookout.view(), "this is the last that was heard: gone")
    assert "! this is the last that was heard: gone" in text
    assert "overdue 36.00 s" in text
    assert "expired, stuck" in text
    assert "A!" in text


@pytest.mark.parametrize("view", [well(), ill()])
def test_every_view_can_be_drawn(view: View) -> None:
    text = drawn(view)
    for job in view.jobs:
        assert job.name in text


def test_a_name_is_not_markup(lookout: Lookout) -> None:
    lookout.teller().start("[red]alert[/red]")
    assert "[red]alert[/red]" in drawn(lookout.view())


def test_without_a_terminal_there_is_one_picture(lookout: Lookout, tickglass: Tickglass) -> None:
    lookout.teller().start("nightly")
    server = SidecarServer("127.0.0.1:0", sidecar_app(lookout.view, lambda _: ("text/plain", b""), list))
    server.start()
    try:
        result = tickglass("watch", "--sidecar", f"http://127.0.0.1:{server.port}")
    finally:
        server.stop()
    assert result.exit_code == 0
    assert "scheduler host-1 (billing) running" in result.stdout


def test_nobody_to_watch_and_a_wrong_pace_are_told(free_port: int, tickglass: Tickglass) -> None:
    assert tickglass("watch", "--sidecar", f"http://127.0.0.1:{free_port}").exit_code == 3
    assert tickglass("watch", "--every", "often").exit_code == 2
    assert tickglass("watch", "--every", "1ms").exit_code == 2


def test_a_sidecar_that_stops_answering_leaves_its_last_picture(lookout: Lookout) -> None:
    lookout.teller().start("nightly")
    answers = iter([lookout.view(), None, lookout.view()])

    def ask() -> View:
        view = next(answers)
        if view is None:
            raise Unanswered("gone")
        return view

    watching = Watching(ask)
    watching.again()
    assert (watching.trouble, len(watching.view.jobs)) == ("this is the last that was heard: gone", 1)
    watching.again()
    assert watching.trouble == ""


def test_it_draws_until_interrupted(lookout: Lookout) -> None:
    pictures: list[int] = []

    def draw() -> None:
        pictures.append(len(pictures))
        if len(pictures) == 3:
            raise KeyboardInterrupt

    class Hurried(type(lookout.clock)):  # type: ignore[misc] # a clock on which nobody waits
        def wait(self, until_ns: int | None, wake: object) -> bool:
            assert wake is not None
            self.advance((until_ns or 0) - self.monotonic_ns())
            return False

    keep_drawing(Watching(lookout.view), Hurried(), SECOND, draw)
    assert pictures == [0, 1, 2]
