"""The page that acts, in a real browser, on a real store that a real scheduler runs on: one test for each button."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import pytest
from kit.browser import PATIENCE_S, Browser, Tab, running_browser
from kit.processes import wait_until

from tickglass import Run, Scheduler, every
from tickglass.sched.clock import SystemClock
from tickglass.sched.control.operator import Operator
from tickglass.sched.durations import MS
from tickglass.sched.events import OccurrenceMoved
from tickglass.sched.stores import open_store
from tickglass.telemetry.endpoint.operators import Operators
from tickglass.telemetry.sidecar.merge.merge import view_of
from tickglass.telemetry.sidecar.stores.probe import Probe
from tickglass.telemetry.sidecar.web import Desks, SidecarServer, sidecar_app
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("browser")

AXE: Final = files("axe_core_python").joinpath("axe.min.js").read_text()
TOKEN: Final = "op-s3cret"
LIVE: Final = "document.getElementById('link').textContent === 'live'"
DONE: Final = "document.querySelector('.problems.ok strong').textContent.startsWith('Done: act')"


class Floor:
    """A scheduler with the jobs nightly and hold, and the sidecar that looks at their store."""

    def __init__(self, home: Path) -> None:
        url = f"sqlite:///{home / 'jobs.db'}"
        self.told, self.open = ListSink(), threading.Event()
        self.scheduler = Scheduler(url, service="billing", owner="host-1", drain="0s", sinks={"told": self.told})

        @self.scheduler.job(every("24h"))
        def nightly() -> None: ...

        @self.scheduler.job(every("24h"))
        def hold(run: Run) -> None:
            while not run.cancelled and not self.open.wait(0.01):
                pass

        self.scheduler.start()
        clock = SystemClock()
        self.store = open_store(url, clock)
        wait_until(lambda: bool(self.store.instances()), "the instance has not joined")
        self.operator = Operator(self.store, "carl")
        self.probe = Probe({url: self.store}, clock=clock, every_ns=100 * MS)
        app = sidecar_app(
            lambda: view_of([], self.probe.snapshots(), clock.reading()),
            lambda _: ("text/plain", b""),
            list,
            operators=Operators(token=TOKEN),
            desks=Desks({url: lambda: self.store}, self.probe.hurry),
            every_s=0.05,
        )
        self.server = SidecarServer("127.0.0.1:0", app)
        self.probe.start()
        self.server.start()
        self.url = f"http://localhost:{self.server.port}"

    def close(self) -> None:
        self.open.set()
        self.server.stop()
        self.probe.stop()
        self.scheduler.stop()
        self.store.close()

    def moved(self, job: str, move: str, *, outcome: str | None = None) -> OccurrenceMoved:
        """Wait until the scheduler has told of such a move."""
        found = self.told.wait_for(
            lambda event: (
                isinstance(event, OccurrenceMoved)
                and (event.job, event.event) == (job, move)
                and outcome in (None, event.outcome)
            ),
            patience_s=PATIENCE_S,
        )
        assert isinstance(found, OccurrenceMoved)
        return found

    def begin(self) -> OccurrenceMoved:
        """Have `hold` run until it is asked to stop."""
        self.operator.trigger("hold", None, "a test", 60_000 * MS)
        return self.moved("hold", "started")

    @property
    def stands(self) -> list[str]:
        return [type(order).__name__ for order in self.operator.standing()]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    floor = Floor(tmp_path)
    try:
        yield floor
    finally:
        floor.close()


@contextmanager
def operator_tab(
    browser: Browser, floor: Floor, *, width: int = 1_440, dark: bool = False, refused: str = "none"
) -> Iterator[Tab]:
    """Open a tab in which an operator has signed in.

    Args:
        refused: the status of a page that is refused, which the browser tells of in its console.
    """
    with Tab(browser, width=width, dark=dark) as tab:
        tab.call("Network.clearBrowserCookies")
        tab.open(f"{floor.url}/sign-in")
        type_into(tab, "#token", TOKEN)
        with tab.loading():
            tab.press("Enter", 13, text="\r")
        yield tab
        said = [words for words in tab.complaints if refused not in words]
        assert said == [], "the policy refuses nothing that the page needs"


def text(tab: Tab, selector: str) -> str:
    return str(tab.evaluate(f"document.querySelector({selector!r}).innerText.replace(/\\s+/g, ' ').trim()"))


def type_into(tab: Tab, selector: str, words: str) -> None:
    tab.evaluate(f"document.querySelector({selector!r}).focus()")
    tab.call("Input.insertText", text=words)


def click(tab: Tab, words: str) -> None:
    """Click a link or a button by its words, once it is there; return when the next page has loaded."""
    found = f"[...document.querySelectorAll('a.button, button')].find(e => e.innerText.trim().startsWith({words!r}))"
    tab.until(found)
    with tab.loading():
        tab.evaluate(f"{found}.click()")


def confirm(tab: Tab, button: str) -> str:
    """Give a reason and a name, and send the form; return what the page says was done."""
    type_into(tab, "#reason", "the disk is full")
    type_into(tab, "#by", "anna")
    click(tab, button)
    tab.until(DONE)
    return text(tab, ".problems.ok")


def violations(tab: Tab) -> list[str]:
    """Return what axe-core finds: the rule and where."""
    tab.evaluate(f"{AXE}; 0")
    found = "r.violations.flatMap(v => v.nodes.map(n => `${v.impact}: ${v.id} at ${n.target.join(' ')}`))"
    listed = tab.evaluate(f"axe.run().then(r => {found})")
    assert isinstance(listed, list)
    return listed


def test_pause_and_resume(browser: Browser, floor: Floor) -> None:
    with operator_tab(browser, floor) as tab:
        tab.open(f"{floor.url}/jobs/nightly")
        click(tab, "Pause")
        assert text(tab, "h1") == "Pause nightly of billing"
        assert "1 due instant until" in text(tab, "fieldset")
        tab.evaluate("document.querySelector('input[value=\"1d\"]').click()")
        done = confirm(tab, "Pause")
        assert "anna (operator via sidecar) paused nightly of billing until" in done
        assert (floor.stands, "the disk is full" in text(tab, "#stands")) == (["Pause"], True)
        tab.open(f"{floor.url}/jobs/nightly")
        tab.until("document.querySelector('.stands')")
        assert "by anna (operator via sidecar): the disk is full" in text(tab, ".stands")
        click(tab, "Resume")
        assert "Nightly of billing will run again from" in text(tab, ".effects")
        assert "resumed nightly of billing" in confirm(tab, "Resume")
        assert floor.stands == []


def test_run_now(browser: Browser, floor: Floor) -> None:
    with operator_tab(browser, floor) as tab:
        tab.open(f"{floor.url}/jobs/nightly")
        click(tab, "Run now")
        assert "One run will start now, on the one instance that has it" in text(tab, ".effects")
        assert "had nightly of billing run" in confirm(tab, "Run now")
        assert floor.moved("nightly", "ended", outcome="success").kind == "manual"


def test_skip_next(browser: Browser, floor: Floor) -> None:
    with operator_tab(browser, floor) as tab:
        tab.open(f"{floor.url}/jobs/nightly")
        click(tab, "Skip next")
        assert tab.evaluate("document.querySelectorAll('input[name=\"at\"]').length") == 8
        assert "skipped" in confirm(tab, "Skip")
        assert floor.stands == ["Skip"]


def test_cancel_a_run(browser: Browser, floor: Floor) -> None:
    begun = floor.begin()
    with operator_tab(browser, floor) as tab:
        tab.open(f"{floor.url}/jobs/hold")
        click(tab, "Cancel the run")
        assert begun.run_id[:8] in text(tab, "fieldset")
        assert f"cancelled the run {begun.run_id}" in confirm(tab, "Cancel the run")
        assert floor.moved("hold", "ended").outcome == "cancelled"


def test_unlock(browser: Browser, floor: Floor) -> None:
    begun = floor.begin()
    with operator_tab(browser, floor) as tab:
        tab.open(floor.url)
        click(tab, "Unlock")
        assert f"under fence {begun.fence}" in text(tab, ".effects")
        assert f"unlocked billing/hold, held under fence {begun.fence}" in confirm(tab, "Unlock")
        assert [lease for lease in floor.store.leases() if lease.resource == "billing/hold"] == []


def test_drain_and_end_the_drain(browser: Browser, floor: Floor) -> None:
    with operator_tab(browser, floor) as tab:
        tab.open(floor.url)
        click(tab, "Drain")
        assert "no other instance of billing lives".capitalize() in text(tab, ".effects")
        assert "drained host-1 of billing" in confirm(tab, "Drain")
        assert floor.stands == ["Drain"]
        tab.open(floor.url)
        click(tab, "End the drain")
        assert "ended the drain of host-1" in confirm(tab, "End the drain")
        assert floor.stands == []


def test_a_refusal_is_shown_where_one_looks(browser: Browser, floor: Floor) -> None:
    with operator_tab(browser, floor, refused="409") as tab:
        tab.open(f"{floor.url}/act/cancel?job=nightly&service=billing")
        type_into(tab, "#reason", "it is slow")
        click(tab, "Cancel the run")
        assert "Nothing was done: nightly of billing is not running" in text(tab, "[role=alert]")
        assert tab.evaluate("document.getElementById('reason').value") == "it is slow"
        assert floor.operator.log() == []
        assert violations(tab) == []


def test_a_reason_is_required_before_anything_is_sent(browser: Browser, floor: Floor) -> None:
    with operator_tab(browser, floor) as tab:
        tab.open(f"{floor.url}/act/pause?job=nightly&service=billing")
        tab.evaluate("document.querySelector('button').click()")
        assert tab.evaluate("document.getElementById('reason').validity.valueMissing")
        assert floor.operator.log() == []


def test_by_keyboard_alone(browser: Browser, floor: Floor) -> None:
    with operator_tab(browser, floor) as tab:
        tab.open(f"{floor.url}/act/pause?job=nightly&service=billing")
        assert tab.evaluate("document.activeElement.id") == "reason"
        tab.call("Input.insertText", text="no mouse")
        with tab.loading():
            tab.press("Enter", 13, text="\r")
        tab.until(DONE)
        assert floor.stands == ["Pause"]


def test_without_javascript(browser: Browser, floor: Floor) -> None:
    with operator_tab(browser, floor) as tab:
        tab.call("Emulation.setScriptExecutionDisabled", value=True)
        tab.open(f"{floor.url}/act/pause?job=nightly&service=billing")
        page = tab.call("DOM.getDocument")["root"]["nodeId"]
        field = tab.call("DOM.querySelector", nodeId=page, selector="[name=reason]")["nodeId"]
        tab.call("DOM.focus", nodeId=field)  # as the page itself does, in a moment
        tab.call("Input.insertText", text="no script")
        with tab.loading():
            tab.press("Enter", 13, text="\r")
        tab.call("Emulation.setScriptExecutionDisabled", value=False)
        assert floor.stands == ["Pause"]


def test_a_viewer_sees_no_button(browser: Browser, floor: Floor) -> None:
    floor.begin()
    with Tab(browser) as tab:
        tab.call("Network.clearBrowserCookies")
        for path in ("/", "/jobs/hold", "/audit"):
            tab.open(floor.url + path)
            assert tab.evaluate("document.querySelectorAll('[href^=\"/act/\"]').length") == 0
        assert text(tab, ".account") == "Audit Sign in to act"


def test_a_viewer_signs_in_where_a_link_led(browser: Browser, floor: Floor) -> None:
    with Tab(browser) as tab:
        tab.call("Network.clearBrowserCookies")
        tab.open(f"{floor.url}/act/pause?job=nightly&service=billing")
        assert text(tab, "h1") == "To act, sign in as an operator"
        assert violations(tab) == []
        type_into(tab, "#token", TOKEN)
        with tab.loading():
            tab.press("Enter", 13, text="\r")
        assert text(tab, "h1") == "Pause nightly of billing"
        assert tab.evaluate("document.cookie") == ""


def test_another_sites_form_does_nothing(browser: Browser, floor: Floor) -> None:
    """The operator is signed in, and another origin posts a form that asks for an act: with the cookie, as it could."""
    with operator_tab(browser, floor, refused=" 40") as tab:
        tab.open(
            f"data:text/html,<form method=post action='{floor.url}/act/pause'><input name=job value=nightly></form>"
        )
        with tab.loading():
            tab.evaluate("document.forms[0].submit()")
        assert "another site" in text(tab, "body")
        assert floor.operator.log() == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1_440])
def test_nothing_is_withheld_from_anybody(browser: Browser, floor: Floor, width: int, *, dark: bool) -> None:
    begun = floor.begin()
    floor.operator.pause("nightly", "billing", "the disk is full", None)
    floor.operator.drain("host-1", None, "a new disk", None)
    run = f"/run?job=hold&due={begun.due_ns}&run_id={begun.run_id}"
    pages = ("/", "/jobs/nightly", "/audit", "/act/pause?job=nightly", "/act/cancel?job=hold", "/history?job=hold", run)
    with operator_tab(browser, floor, width=width, dark=dark) as tab:
        for path in pages:
            tab.open(floor.url + path)
            if path in pages[:2]:
                tab.until(LIVE)
                tab.until("document.querySelector('a.button')")
            assert violations(tab) == [], path
            assert tab.evaluate("document.documentElement.scrollWidth") == width, path
