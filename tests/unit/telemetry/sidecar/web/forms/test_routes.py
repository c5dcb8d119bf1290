"""From a link to a form, from a form to an act, and who gets there. The real browser is in tests/live."""

from __future__ import annotations

import html
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import pytest
from kit.office import OP_TOKEN, Office, open_office

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.telemetry.endpoint.operators import Operators
from tickglass.telemetry.sidecar.web import Desks
from tickglass.telemetry.sidecar.web.auth_middleware import HEADERS

if TYPE_CHECKING:
    from pathlib import Path

    from tickglass.sched.ports import Store

DUE_NS = 1_700_000_000 * SECOND


def hidden(page: str) -> dict[str, str]:
    """Return what a form sends back by itself."""
    fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page)
    return {name: html.unescape(value) for name, value in fields}


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def submit(web: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Open the form at a path, fill it in, and send it."""
    page = web.get(path)
    assert page.status_code == 200, page.text
    return web.post(path.partition("?")[0], data=hidden(page.text) | {"reason": "because"} | fields)


# --- acts


@pytest.mark.parametrize(
    ("path", "fields", "stands", "text"),
    [
        ("/act/pause?job=nightly&service=billing", {"for": ""}, ["Pause"], "anna paused nightly of billing"),
        ("/act/pause?job=nightly&service=billing", {"for": "1h"}, ["Pause"], "anna paused nightly of billing until"),
        ("/act/resume?job=nightly&service=billing", {}, [], "anna resumed nightly of billing"),
        ("/act/resume?job=*", {}, [], "anna resumed all jobs"),
        ("/act/skip?job=nightly&service=billing", {}, ["Skip"], "anna had nightly of billing due"),
        ("/act/trigger?job=nightly&service=billing", {}, ["RunNow"], "anna had nightly of billing run"),
        ("/act/cancel?job=sync&service=billing", {}, ["Cancel"], "anna cancelled the run run-1 of sync of billing"),
        ("/act/drain?owner=host-1&service=billing", {"for": "1d"}, ["Drain"], "anna drained host-1 of billing until"),
        ("/act/undrain?owner=host-1&service=billing", {}, [], "anna ended the drain of host-1 of billing"),
    ],
)
def test_a_form_leads_to_an_act_and_the_act_to_its_row_in_the_log(
    office: Office, web: httpx.Client, path: str, fields: dict[str, str], stands: list[str], text: str
) -> None:
    if "undrain" in path:
        office.operator.drain("host-1", None, "r", None)
    if "resume" in path:
        office.operator.pause("nightly", "billing", "r", None)
    office.claim(DUE_NS, "run-1", "sync")
    answer = submit(web, path, **fields)
    assert (answer.status_code, office.stands) == (303, stands), words(answer.text)
    done = web.get(answer.headers["location"])
    assert f"Done: act {office.operator.log()[0].version}, {text}" in words(done.text)
    assert 'class="done"' in done.text
    assert office.operator.log()[0].entry.reason == "because"


def test_a_lock_is_taken_under_the_fence_that_was_shown(office: Office, web: httpx.Client) -> None:
    fence = office.claim(DUE_NS, "run-1")
    path = f"/act/unlock?resource=billing/nightly&fence={fence}"
    shown = words(web.get(path).text)
    assert "Host-1 will lose billing/nightly" in shown
    assert "the run run-1 of nightly ends as orphaned".capitalize() in shown
    assert submit(web, path).status_code == 303
    assert office.store.leases() == []
    again = web.get(path)
    assert f"is not held under fence {fence} any more" in words(again.text)
    refused = submit(web, path)
    assert (refused.status_code, "billing/nightly is not locked" in refused.text) == (409, True)


def test_what_stands_already_is_said(office: Office, web: httpx.Client) -> None:
    submit(web, "/act/pause?job=nightly&service=billing")
    again = submit(web, "/act/pause?job=nightly&service=billing")
    assert "It stood already, by act 1, anna paused nightly of billing" in words(
        web.get(again.headers["location"]).text
    )
    assert len(office.operator.log()) == 1


def test_a_refusal_shows_the_form_again_with_what_was_filled_in(office: Office, web: httpx.Client) -> None:
    answer = submit(web, "/act/cancel?job=nightly&service=billing", reason="it is <slow>")
    assert answer.status_code == 409
    assert "Nothing was done: nightly of billing is not running" in words(answer.text)
    assert 'role="alert"' in answer.text
    assert 'name="reason" value="it is &lt;slow&gt;"' in answer.text
    assert office.operator.log() == []


@pytest.mark.parametrize("fields", [{"reason": " "}, {"for": "soon"}, {"act": "resume"}, {"nonsense": "x"}])
def test_a_form_that_was_changed_is_refused(office: Office, web: httpx.Client, fields: dict[str, str]) -> None:
    answer = submit(web, "/act/pause?job=nightly&service=billing", **fields)
    if fields == {"act": "resume"}:  # the path decides
        assert (answer.status_code, office.stands) == (303, ["Pause"])
        return
    assert answer.status_code == 400
    assert "Nothing was done:" in words(answer.text)
    assert office.operator.log() == []


@pytest.mark.parametrize(
    "path",
    [
        "/act/pause?job=nobody",
        "/act/resume?job=nobody",
        "/act/drain?owner=nobody&service=billing",
        "/act/unlock?resource=r",
        "/act/unlock?resource=r&fence=x",
        "/act/destroy",
        "/audit?store=other",
        "/act/pause?job=nightly&store=other",
    ],
)
def test_what_is_not_there_has_no_form(web: httpx.Client, path: str) -> None:
    answer = web.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


def test_a_name_of_several_services_needs_the_service(web: httpx.Client) -> None:
    answer = web.get("/act/pause?job=sync")
    assert (answer.status_code, "Billing and mail each have a job sync" in answer.text) == (400, True)


# --- who may


def test_a_viewer_gets_no_form_and_no_link_to_one(office: Office, opened: tuple[Office, str]) -> None:
    fence = office.claim(DUE_NS, "run-1")
    forms = [
        "pause?job=nightly",
        "drain?owner=host-1&service=billing",
        f"unlock?resource=billing/nightly&fence={fence}",
    ]
    for headers in ({}, {"X-Forwarded-User": "bob"}):
        with httpx.Client(base_url=opened[1], headers=headers) as viewer:
            for path in ("/", "/jobs/nightly", "/audit"):
                page = viewer.get(path)
                assert (page.status_code, "/act/" in page.text) == (200, False)
                assert "Sign in to act" in page.text
            for form in forms:
                assert viewer.get(f"/act/{form}").status_code == 403
                answer = viewer.post(f"/act/{form}", headers={"Origin": opened[1]})
                assert (answer.status_code, "You may look, and not act" in answer.text) == (403, True)
    assert office.operator.log() == []


def test_an_operator_gets_links_to_forms(office: Office, web: httpx.Client) -> None:
    fence = office.claim(DUE_NS, "run-1")
    assert f"/act/unlock?resource=billing%2Fnightly&amp;fence={fence}" in web.get("/").text
    assert "/act/drain?owner=host-1&amp;service=billing" in web.get("/").text
    page = web.get("/jobs/nightly").text
    for act in ("pause", "trigger", "skip", "cancel"):
        assert f"/act/{act}?job=nightly&amp;service=billing" in page


def test_what_changes_on_an_open_page_has_links_for_operators_alone(opened: tuple[Office, str]) -> None:
    def first_event(path: str, **headers: str) -> str:
        with httpx.stream("GET", opened[1] + path, headers=headers) as stream:
            return next(line for line in stream.iter_lines() if line.startswith("data: {"))

    for path in ("/events", "/events?job=nightly&service=billing"):
        assert "/act/" in first_event(path, **{"X-Forwarded-User": "anna"})
        assert "/act/" not in first_event(path, **{"X-Forwarded-User": "bob"})


def test_a_read_only_sidecar_has_no_forms(tmp_path: Path) -> None:
    with open_office(tmp_path, operators=None) as (office, url):
        assert httpx.get(f"{url}/act/pause?job=nightly").status_code == 404
        assert httpx.post(f"{url}/act/pause", data={"job": "nightly"}).status_code == 404
        page = httpx.get(f"{url}/audit")
        assert (page.status_code, "Sign in" in page.text) == (200, False)
        assert office.operator.log() == []


def test_a_link_to_a_form_leads_there_after_the_sign_in(opened: tuple[Office, str]) -> None:
    with httpx.Client(base_url=opened[1], headers={"Sec-Fetch-Site": "same-origin"}) as web:
        asked = web.get("/act/pause?job=nightly&service=billing")
        assert (asked.status_code, "To act, sign in as an operator" in asked.text) == (403, True)
        fields = hidden(asked.text)
        assert fields == {"back": "/act/pause?job=nightly&service=billing"}
        wrong = web.post("/sign-in", data=fields | {"token": "no"})
        assert (wrong.status_code, "To act, sign in as an operator" in wrong.text) == (401, True)
        answer = web.post("/sign-in", data=fields | {"token": OP_TOKEN})
        assert "Pause nightly of billing" in web.get(answer.headers["location"]).text


def test_where_only_a_proxy_names_operators_there_is_nothing_to_sign_in_to(tmp_path: Path) -> None:
    operators = Operators(header="X-User", proxies=("127.0.0.1",), names=("anna",))
    with open_office(tmp_path, operators=operators) as (_, url):
        answer = httpx.get(f"{url}/act/pause?job=nightly", headers={"X-User": "bob"})
        assert (answer.status_code, "You may look, and not act" in answer.text) == (403, True)
        assert "Sign in" not in httpx.get(url).text
        assert httpx.get(f"{url}/sign-in").status_code == 404
        assert httpx.get(f"{url}/act/pause?job=nightly", headers={"X-User": "anna"}).status_code == 200


def test_the_bearer_of_the_token_gives_a_name(office: Office, opened: tuple[Office, str]) -> None:
    with httpx.Client(base_url=opened[1], headers={"Sec-Fetch-Site": "same-origin"}) as web:
        assert web.post("/sign-in", data={"token": OP_TOKEN}).status_code == 303
        assert "Your name, for the audit log" in web.get("/act/pause?job=nightly").text
        submit(web, "/act/pause?job=nightly", by="dora")
        submit(web, "/act/resume?job=nightly", by="")
    assert [act.entry.by for act in office.operator.log()] == ["operator via sidecar", "dora (operator via sidecar)"]


# --- other sites


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}])
def test_no_form_of_another_site_acts(office: Office, web: httpx.Client, headers: dict[str, str]) -> None:
    fields = hidden(web.get("/act/pause?job=nightly").text) | {"reason": "r"}
    answer = web.post("/act/pause", data=fields, headers=headers)
    assert (answer.status_code, "another site" in answer.text) == (403, True)
    assert office.operator.log() == []


@pytest.mark.parametrize("key", ["", "0" * 64])
def test_a_form_without_its_key_is_shown_again_and_does_nothing(office: Office, web: httpx.Client, key: str) -> None:
    fields = hidden(web.get("/act/pause?job=nightly").text) | {"reason": "r", "key": key}
    answer = web.post("/act/pause", data=fields)
    assert (answer.status_code, "This form is old" in answer.text) == (403, True)
    assert office.operator.log() == []
    assert web.post("/act/pause", data=hidden(answer.text) | {"reason": "r"}).status_code == 303


def test_every_page_that_acts_has_the_same_policy(web: httpx.Client) -> None:
    for path in ("/audit", "/act/pause?job=nightly"):
        page = web.get(path)
        assert "<script" not in page.text
        for name, value in HEADERS.items():
            assert page.headers[name] == value
        assert page.headers["cache-control"] == "no-store"


def test_nothing_from_outside_becomes_part_of_a_page(office: Office, web: httpx.Client) -> None:
    hostile = '"><script>alert(1)</script>'
    office.operator.pause("*", "*", hostile, None)
    office.start("billing", hostile, "nightly")
    for path in ("/audit", "/", "/jobs/nightly", f"/act/drain?service=billing&owner={hostile}"):
        page = web.get(path)
        assert page.status_code == 200
        assert "alert(1)" in page.text
        assert "<script>alert" not in page.text


# --- what is seen


def test_what_stands_has_a_badge_with_who_until_when_and_why(office: Office, web: httpx.Client) -> None:
    office.operator.pause("nightly", "billing", "the disk is full", office.store.time_ns() + 3_600 * SECOND)
    office.operator.drain("host-1", None, "a new disk", None)
    board = words(web.get("/").text)
    assert "drained by carl: a new disk" in board
    assert "paused" in board
    page = words(web.get("/jobs/nightly").text)
    assert re.search(r"paused until \d\d:\d\d:\d\d\.\d{3}Z by carl: the disk is full", page), page
    assert "Resume" in page


def test_the_log_is_paged(office: Office, web: httpx.Client) -> None:
    for number in range(60):
        office.operator.pause("nightly", "billing", f"reason {number}", None)
    page = web.get("/audit").text
    assert page.count('id="act-') == 50
    older = re.search(r'href="(/audit\?[^"]*before=[^"]*)"', page)
    assert older is not None
    page = web.get(html.unescape(older[1])).text
    assert page.count('id="act-') == 10
    assert "Older" not in page


def test_of_several_stores_the_one_that_has_the_job_is_acted_on(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    with ExitStack() as running:
        first, _ = running.enter_context(open_office(tmp_path / "one", jobs=[("mail", "letters")]))
        second, _ = running.enter_context(open_office(tmp_path / "two"))
        desks = Desks({"first": lambda: first.store, "second": lambda: second.store})
        _, url = running.enter_context(open_office(tmp_path / "three", desks=desks))
        headers = {"X-Forwarded-User": "anna", "Sec-Fetch-Site": "same-origin"}
        web = running.enter_context(httpx.Client(base_url=url, headers=headers))
        answer = submit(web, "/act/pause?job=nightly&service=billing")
        assert (answer.status_code, first.stands, second.stands) == (303, [], ["Pause"])
        assert "anna paused nightly" in web.get(answer.headers["location"]).text
        assert web.get("/act/pause?job=nobody").status_code == 404


def test_a_store_that_does_not_answer_is_said(tmp_path: Path) -> None:
    def broken() -> Store:
        raise StoreUnavailable("sqlite", "open", "the disk is gone")

    with open_office(tmp_path, desks=Desks({"it": broken})) as (_, url):
        for path in ("/audit", "/act/pause?job=nightly"):
            answer = httpx.get(url + path, headers={"X-Forwarded-User": "anna"})
            assert (answer.status_code, "the disk is gone" in answer.text) == (503, True)
    with open_office(tmp_path, desks=Desks({})) as (_, url):
        assert httpx.get(f"{url}/audit").status_code == 404
