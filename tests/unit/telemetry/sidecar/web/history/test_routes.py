"""The runs of a job, as far back as the ledger has them, and one run with all that is known of it."""

from __future__ import annotations

import html
import re
from itertools import chain
from typing import TYPE_CHECKING

import httpx
import pytest
from kit.office import Office, open_office
from kit.processes import wait_until

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.telemetry.endpoint.run_links import RunLink
from tickglass.telemetry.sidecar.web import Desks
from tickglass.telemetry.sidecar.web.history.runs import PAGE_RUNS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tickglass.sched.ports import Store

DUE_NS = 1_700_000_000 * SECOND


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Office, str]]:
    with open_office(tmp_path) as opened:
        yield opened


@pytest.fixture
def office(opened: tuple[Office, str]) -> Office:
    return opened[0]


@pytest.fixture
def web(opened: tuple[Office, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=opened[1]) as client:
        yield client


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def ran(office: Office, number: int, detail: str = "") -> int:
    due_ns = DUE_NS + number * SECOND
    office.settle(due_ns, f"run-{number}", office.claim(due_ns, f"run-{number}"), detail=detail)
    return due_ns


def test_all_runs_of_a_job_are_paged_and_each_is_shown_once(office: Office, web: httpx.Client) -> None:
    for number in range(2 * PAGE_RUNS + 5):
        ran(office, number)
    path, seen = "/history?job=nightly&service=billing", []
    while path:
        page = web.get(path)
        assert page.status_code == 200
        seen.append(re.findall(r"run_id=(run-\d+)", page.text))
        older = re.search(r'rel="next" href="([^"]*)"', page.text)
        path = html.unescape(older[1]) if older else ""
    assert [len(page) for page in seen] == [PAGE_RUNS, PAGE_RUNS, 5]
    assert list(chain.from_iterable(seen)) == [f"run-{number}" for number in reversed(range(2 * PAGE_RUNS + 5))]


def test_a_jobs_page_leads_to_all_its_runs(office: Office, web: httpx.Client) -> None:
    ran(office, 0)
    assert 'href="/history?job=nightly&amp;service=billing"' in web.get("/jobs/nightly").text


def test_a_run_is_shown_with_what_it_said_and_what_operators_did(office: Office, web: httpx.Client) -> None:
    due_ns = ran(office, 1, "ValueError: <b>no</b> space left")
    office.claim(due_ns + SECOND, "run-2")
    office.operator.cancel("nightly", None, "it takes too long", None)
    page = web.get("/history?job=nightly").text
    failed, going = (re.search(rf'href="(/run\?[^"]*run_id={it}[^"]*)"', page) for it in ("run-1", "run-2"))
    assert failed is not None
    assert going is not None
    shown = web.get(html.unescape(failed[1]))
    assert shown.status_code == 200
    assert "ValueError: &lt;b&gt;no&lt;/b&gt; space left</pre>" in shown.text
    assert "failure" in words(shown.text)
    assert "claimed by host-1" in words(shown.text)
    assert "What operators did" not in shown.text
    shown = web.get(html.unescape(going[1]))
    assert "carl cancelled the run run-2 of nightly of billing: it takes too long" in words(shown.text)
    assert "What it said" not in shown.text


def test_the_attempts_at_one_instant_lead_to_each_other(office: Office, web: httpx.Client) -> None:
    office.claim(DUE_NS, "run-1", ttl_ns=MS)
    wait_until(lambda: bool(office.store.abandoned()), "its lease has not ended")
    office.claim(DUE_NS, "run-2")
    first = web.get(f"/run?job=nightly&due={DUE_NS}&run_id=run-1")
    assert "Attempt 1 of 2" in words(first.text)
    assert "orphaned" in words(first.text)
    other = re.search(r'href="(/run[^"]*)">attempt 2', first.text)
    assert other is not None
    assert "Attempt 2 of 2" in words(web.get(html.unescape(other[1])).text)


def test_a_run_links_to_where_else_it_can_be_seen(tmp_path: Path) -> None:
    links = [RunLink("Trace", "https://tempo.example/{run_id}"), RunLink("Logs", "https://logs.example/?q={job}&x=1")]
    with open_office(tmp_path, links=links) as (office, url):
        due_ns = ran(office, 1)
        page = httpx.get(f"{url}/run?job=nightly&due={due_ns}&run_id=run-1").text
    assert 'rel="noreferrer" href="https://tempo.example/run-1">Trace</a>' in page
    assert 'href="https://logs.example/?q=nightly&amp;x=1">Logs</a>' in page


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/history?job=nobody", 404),
        ("/history", 404),
        ("/history?job=sync", 400),
        ("/history?job=nightly&store=other", 404),
        (f"/run?job=nightly&due={DUE_NS}&run_id=no", 404),
        ("/run?job=nightly&due=x&run_id=no", 404),
        ("/run?job=nightly&run_id=no", 404),
    ],
)
def test_what_is_not_there_is_said(web: httpx.Client, path: str, status: int) -> None:
    answer = web.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")


def test_a_job_without_runs_has_an_empty_history(web: httpx.Client) -> None:
    assert "The ledger has no run of it" in web.get("/history?job=nightly").text
    assert "The ledger has no earlier run of it" in web.get("/history?job=nightly&before=5").text


def test_a_viewer_needs_the_token(tmp_path: Path) -> None:
    with open_office(tmp_path, token="view") as (_, url):
        for path in ("/history?job=nightly", "/run", "/audit"):
            assert httpx.get(url + path).status_code == 401


def test_a_store_that_does_not_answer_is_said(tmp_path: Path) -> None:
    def broken() -> Store:
        raise StoreUnavailable("sqlite", "open", "the disk is gone")

    with open_office(tmp_path, desks=Desks({"it": broken})) as (_, url):
        answer = httpx.get(f"{url}/history?job=nightly")
        assert (answer.status_code, "the disk is gone" in answer.text) == (503, True)
