"""The page in a real browser: live, calm, readable by everybody, and asking nobody else for anything."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import msgspec
import pytest
from kit.browser import PATIENCE_S, Browser, Tab, running_browser
from kit.view_samples import NOW_NS, ill, job_of, runs_of, well

from tickglass.sched.clock import instant_of
from tickglass.sched.durations import SECOND
from tickglass.telemetry.sidecar.view import LockView
from tickglass.telemetry.sidecar.web import SidecarServer, sidecar_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tickglass.telemetry.sidecar.view import View

pytestmark = pytest.mark.xdist_group("browser")

AXE: Final = files("axe_core_python").joinpath("axe.min.js").read_text()
LIVE: Final = "document.getElementById('link').textContent === 'live'"
LOST: Final = "document.getElementById('link').textContent === 'no answer from the sidecar; what you see is old'"
OWNED: Final = "<script>document.title = window.owned = 'owned'</script><img src=x onerror=\"window.owned=1\">"
FAST_S: Final = 0.05


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


@contextmanager
def serving(view: Callable[[], View], *, token: str = "", every_s: float = FAST_S) -> Iterator[str]:
    app = sidecar_app(view, lambda _: ("text/plain", b""), list, token=token, every_s=every_s)
    server = SidecarServer("127.0.0.1:0", app)
    server.start()
    try:
        yield f"http://localhost:{server.port}"
    finally:
        server.stop()


def text(tab: Tab, selector: str) -> str:
    return str(tab.evaluate(f"document.querySelector({selector!r}).innerText.replace(/\\s+/g, ' ').trim()"))


def violations(tab: Tab) -> list[str]:
    """Return what axe-core finds: the rule and where."""
    tab.evaluate(f"{AXE}; 0")
    found = "r.violations.flatMap(v => v.nodes.map(n => `${v.impact}: ${v.id} at ${n.target.join(' ')}`))"
    listed = tab.evaluate(f"axe.run().then(r => {found})")
    assert isinstance(listed, list)
    return listed


def test_a_stuck_lock_turns_red_while_one_looks(browser: Browser) -> None:
    now = [well()]
    with serving(lambda: now[0]) as url, Tab(browser) as tab:
        tab.open(url)
        tab.until(LIVE)
        assert text(tab, "#problems .headline") == "All well"
        now[0] = ill()
        tab.until("document.querySelector('#locks tr.bad')")
        assert text(tab, "#problems .headline") == "Not well: lock ledger:eu, job close_books, job send_invoices"
        assert text(tab, "#locks tbody tr").startswith("ledger:eu stuck close_books on host-2/billing/0 fence")
        colour = tab.evaluate("getComputedStyle(document.querySelector('#locks tr.bad .strong')).color")
        assert colour == "rgb(172, 31, 42)"
        assert (
            tab.evaluate("document.title") == "Not well: lock ledger:eu, job close_books, job send_invoices · Tickglass"
        )
        assert tab.complaints == []
        assert {address.partition("/static")[0].partition("/events")[0].rstrip("/") for address in tab.requested} == {
            url
        }


def test_focus_scroll_and_what_has_not_changed_stay(browser: Browser) -> None:
    now_ns = [NOW_NS]
    with serving(lambda: ill(now_ns[0])) as url, Tab(browser, height=300) as tab:
        tab.open(url)
        tab.until(LIVE)
        tab.evaluate("window.kept = document.querySelector('#jobs a[href^=\"/jobs/rotate_keys?\"]'); kept.focus()")
        tab.evaluate("window.scrollTo(0, 200)")
        now_ns[0] += 7 * SECOND
        tab.until(f"document.querySelector('#state time').dateTime === {iso(now_ns[0])!r}")
        now_ns[0] += 1_800 * SECOND
        tab.until(f"document.querySelector('#state time').dateTime === {iso(now_ns[0])!r}")
        assert tab.evaluate("kept.isConnected && document.activeElement === kept && window.scrollY === 200")
        assert tab.complaints == []


def test_the_focus_goes_with_a_row_that_changes_places(browser: Browser) -> None:
    now = [well()]
    with serving(lambda: now[0]) as url, Tab(browser) as tab:
        tab.open(url)
        tab.until(LIVE)
        tab.evaluate("document.querySelector('#jobs a[href^=\"/jobs/send_invoices?\"]').focus()")
        now[0] = ill()
        tab.until("document.querySelectorAll('#jobs tbody tr a')[1].textContent === 'send_invoices'")
        assert tab.evaluate("document.activeElement === document.querySelectorAll('#jobs tbody tr a')[1]")


def test_a_name_is_text_also_when_it_comes_later(browser: Browser) -> None:
    hostile = job_of(OWNED, "5s", runs_of(OWNED, 5 * SECOND, ran_ns=1), why=OWNED)
    lock = LockView(resource=OWNED, state="held", owner=OWNED, job=OWNED, stuck=True)
    view = msgspec.structs.replace(well(), jobs=[hostile], locks=[lock])
    now = [well()]
    with serving(lambda: now[0]) as url, Tab(browser) as tab:
        tab.open(url)
        tab.until(LIVE)
        now[0] = view
        tab.until("document.querySelector('#locks tr.bad')")
        tab.open(url)
        tab.until(LIVE)
        assert OWNED in text(tab, "#jobs")
        with tab.loading():
            tab.evaluate("document.querySelector('#jobs tbody a').click()")
        tab.until(LIVE)
        assert text(tab, "h1") == OWNED
        assert tab.evaluate("window.owned === undefined && !document.querySelector('main script, main img')")
        assert tab.complaints == []


@pytest.mark.parametrize("name", [".", "..", "a/b", "../b", "a/../b", "//", "%2e%2e", "?#"])
def test_every_job_has_a_page_whatever_it_is_called(browser: Browser, name: str) -> None:
    view = msgspec.structs.replace(well(), jobs=[job_of(name, "5s", runs_of(name, 5 * SECOND, ran_ns=1))])
    with serving(lambda: view) as url, Tab(browser) as tab:
        tab.open(url)
        with tab.loading():
            tab.evaluate("document.querySelector('#jobs tbody a').click()")
        tab.until(LIVE)
        assert text(tab, "h1") == name
        assert text(tab, "#occurrences tbody").count("success") == 40


@pytest.mark.parametrize("path", ["/", "/jobs/reconcile", "/?q=nothing"])
@pytest.mark.parametrize("width", [320, 360, 768, 1_100, 1_280, 1_366, 1_440])
def test_no_page_is_wider_than_its_window(browser: Browser, path: str, width: int) -> None:
    with serving(ill, every_s=3_600) as url, Tab(browser, width=width) as tab:
        tab.open(url + path)
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        cut = "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
        assert tab.evaluate(f"{cut}.filter(e => !e.closest('svg, .unseen, thead')).map(e => e.outerHTML)") == []


def test_a_jobs_name_can_be_read_at_every_width(browser: Browser) -> None:
    with serving(ill, every_s=3_600) as url, Tab(browser) as tab:
        tab.open(url)
        cells = "[...document.querySelectorAll('#jobs th.job')].map(e => e.getBoundingClientRect().width)"
        narrow = {}
        for width in (*range(320, 1_600, 20), 861, 921, 1_366):
            tab.resize(width)
            if (least := min(tab.evaluate(cells))) < 120:
                narrow[width] = least
        assert narrow == {}


def test_the_minutes_stand_over_what_happened_in_them(browser: Browser) -> None:
    with serving(ill, every_s=3_600) as url, Tab(browser) as tab:
        tab.open(url)
        spans = (
            "[...document.querySelectorAll('#timeline .axis, #timeline svg.lane')].map(e => e.getBoundingClientRect())"
        )
        for width in (360, 900, 1_440):
            tab.resize(width)
            assert len(set(tab.evaluate(f"{spans}.map(r => `${{r.left}} ${{r.right}}`)"))) == 1, width


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    ("path", "width"), [("/", 1_440), ("/", 360), ("/jobs/reconcile", 1_440), ("/jobs/reconcile", 360)]
)
def test_nothing_is_withheld_from_anybody(browser: Browser, path: str, width: int, *, dark: bool) -> None:
    with serving(ill, every_s=3_600) as url, Tab(browser, width=width, dark=dark) as tab:
        tab.open(url + path)
        assert violations(tab) == []


def test_neither_by_the_form(browser: Browser) -> None:
    with serving(ill, token="s3cret") as url, Tab(browser) as tab:
        tab.open(url)
        assert violations(tab) == []


def test_everything_can_be_reached_by_keyboard(browser: Browser) -> None:
    with serving(ill, every_s=3_600) as url, Tab(browser) as tab:
        tab.open(url)
        reached = []
        for _ in range(12):
            tab.press("Tab", 9)
            reached.append(text(tab, ":focus"))
        assert reached[:4] == ["Skip to the content", "Tickglass", "ledger:eu", "close_books"]
        assert {"close_books", "reconcile", "rotate_keys"} <= set(reached)
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_without_javascript_it_is_a_picture_that_is_taken_again(browser: Browser) -> None:
    with serving(ill) as url, Tab(browser) as tab:
        tab.call("Emulation.setScriptExecutionDisabled", value=True)
        tab.open(url)
        root = tab.call("DOM.getDocument")["root"]["nodeId"]
        page = tab.call("DOM.getOuterHTML", nodeId=root)["outerHTML"]
        assert "Not well: lock ledger:eu" in page
        assert '<meta http-equiv="refresh" content="5">' in page
        assert "reloaded every 5 s" in page


def test_a_page_that_hears_nothing_says_so(browser: Browser) -> None:
    with Tab(browser) as tab:
        with serving(well) as url:
            tab.open(url)
            tab.until(LIVE)
        tab.until(LOST)


def test_a_page_that_hears_nothing_over_an_open_connection_says_so_and_asks_anew(browser: Browser) -> None:
    """A sidecar that is frozen, or a network that is cut: no error ever comes."""
    awake = threading.Event()
    awake.set()

    def view() -> View:
        assert awake.wait(PATIENCE_S)
        return well()

    with serving(view) as url, Tab(browser) as tab:
        tab.open(url)
        tab.until(LIVE)
        tab.evaluate(
            "window.EventSource = class extends EventSource { constructor(a) { super(a); window.anew = true } }; 0"
        )
        awake.clear()
        try:
            tab.until(LOST)
            assert tab.evaluate("window.anew")
        finally:
            awake.set()
        tab.until(LIVE)


def test_a_person_signs_in_and_scripts_cannot_see_by_what(browser: Browser) -> None:
    with serving(ill, token="s3cret") as url, Tab(browser) as tab:
        tab.open(f"{url}/jobs/reconcile")
        assert text(tab, "h1") == "This sidecar requires its token"
        tab.evaluate("document.getElementById('token').focus()")
        tab.call("Input.insertText", text="s3cret")
        assert tab.evaluate("document.getElementById('token').value") == "s3cret"
        with tab.loading():
            tab.press("Enter", 13, text="\r")
        tab.until(LIVE)
        assert text(tab, "h1") == "reconcile"
        assert tab.evaluate("document.cookie") == ""


def iso(wall_ns: int) -> str:
    """Return an instant as the page's `datetime` has it."""
    return instant_of(wall_ns).isoformat(timespec="milliseconds").replace("+00:00", "Z")
