"""What the API does, answers and refuses, on a real store."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from kit.office import OPERATORS, Office, open_office

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.telemetry.sidecar.web import Desks
from tickglass.telemetry.sidecar.web.api.routes import BODY_MAX
from tickglass.telemetry.sidecar.web.auth_middleware import HEADERS
from tickglass.telemetry.sidecar.web.control.desks import WAITING_MAX

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tickglass.sched.ports import Store

DUE_NS = 1_700_000_000 * SECOND
PAUSE = {"act": "pause", "job": "nightly", "reason": "the disk is full"}


def assert_problem(answer: httpx.Response, status: int, words: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body: dict[str, Any] = answer.json()
    assert (body["status"], words in body["detail"]) == (status, True), body
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    return body


# --- acts


def test_an_act_is_done_and_answered_with_its_number(office: Office, api: httpx.Client) -> None:
    answer = api.post("acts", json=PAUSE | {"for": "2h", "by": "anna"})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["store"], body["changed"]) == (office.name, True)
    act = body["act"]
    assert (act["number"], act["act"], act["by"]) == (1, "pause", "anna (operator via sidecar)")
    ends = datetime.fromisoformat(act["until"]) - datetime.fromisoformat(act["at"])
    assert timedelta(hours=2) - timedelta(seconds=1) < ends < timedelta(hours=2) + timedelta(seconds=1)
    assert act["text"].startswith("anna (operator via sidecar) paused nightly of billing until ")
    assert office.stands == ["Pause"]


def test_what_stands_already_is_answered_by_the_act_before(api: httpx.Client) -> None:
    first, again = api.post("acts", json=PAUSE).json(), api.post("acts", json=PAUSE).json()
    assert (first["changed"], again["changed"]) == (True, False)
    assert first["act"]["number"] == again["act"]["number"] == 1
    assert first["act"]["by"] == "operator via sidecar"


@pytest.mark.parametrize(
    ("body", "stands"),
    [
        (PAUSE | {"until": "2200-01-01T00:00:00Z"}, ["Pause"]),
        ({"act": "pause", "job": "*", "service": "bill*", "reason": "r"}, ["Pause"]),
        ({"act": "resume", "job": "nightly", "reason": "r"}, []),
        ({"act": "skip", "job": "nightly", "reason": "r"}, ["Skip"]),
        ({"act": "trigger", "job": "nightly", "reason": "r", "within": "10s"}, ["RunNow"]),
        ({"act": "cancel", "job": "sync", "service": "billing", "reason": "r"}, ["Cancel"]),
        ({"act": "cancel", "job": "sync", "service": "billing", "reason": "r", "run_id": "run-1"}, ["Cancel"]),
        ({"act": "drain", "owner": "host-1", "reason": "r", "for": "1h"}, ["Drain"]),
        ({"act": "undrain", "owner": "host-1", "reason": "r"}, []),
    ],
)
def test_every_act_can_be_asked_for(office: Office, api: httpx.Client, body: dict[str, Any], stands: list[str]) -> None:
    office.claim(DUE_NS, "run-1", "sync")
    answer = api.post("acts", json=body)
    assert (answer.status_code, office.stands) == (200, stands), answer.text


def test_a_lock_is_taken_under_the_fence_it_was_seen_with(office: Office, api: httpx.Client) -> None:
    fence = office.claim(DUE_NS, "run-1")
    unlock = {"act": "unlock", "resource": "billing/nightly", "reason": "stuck"}
    assert_problem(api.post("acts", json=unlock | {"fence": fence + 1}), 409, f"held under fence {fence} by host-1")
    answer = api.post("acts", json=unlock | {"fence": fence})
    assert (answer.status_code, answer.json()["act"]["fence"]) == (200, fence)
    assert office.store.leases() == []


def test_a_skip_names_its_instant(office: Office, api: httpx.Client) -> None:
    at = datetime(2100, 1, 1, 12, tzinfo=UTC)
    skip = {"act": "skip", "job": "nightly", "reason": "r"}
    assert api.post("acts", json=skip | {"at": at.isoformat()}).json()["act"]["due"] == f"{at:%Y-%m-%dT%H:%M:%SZ}"
    problem = assert_problem(
        api.post("acts", json=skip | {"at": (at + timedelta(minutes=1)).isoformat()}), 409, "not due at"
    )
    assert problem["instead"] == [f"{at + timedelta(minutes=15):%Y-%m-%dT%H:%M:%S+00:00}"]
    assert office.stands == ["Skip"]


def test_a_refusal_says_what_was_perhaps_meant(office: Office, api: httpx.Client) -> None:
    problem = assert_problem(api.post("acts", json=PAUSE | {"job": "nightli"}), 409, "there is no job nightli")
    assert problem["instead"] == ["nightly"]
    assert office.operator.log() == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body: Input data was truncated"),
        (b"\xff", "the body: JSON is malformed"),
        (b'{"act":"pause","job":"\xff","reason":"r"}', "the body: "),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `act`"),
        (PAUSE | {"act": "paus"}, "Invalid value 'paus' - at `$.act`"),
        (PAUSE | {"jobs": "x"}, "unknown field `jobs`"),
        (PAUSE | {"reason": " "}, "at `$.reason`"),
        (PAUSE | {"job": ""}, "at `$.job`"),
        (PAUSE | {"job": "x" * 1_001}, "at `$.job`"),
        (PAUSE | {"for": "2 hours"}, "at `$.for`"),
        (PAUSE | {"for": "0s"}, "for"),
        (PAUSE | {"until": "2100-01-01T00:00:00"}, "timezone"),
        (PAUSE | {"until": "2300-01-01T00:00:00Z"}, "beyond what stores can hold"),
        (PAUSE | {"for": "99999d"}, "36500"),
        (PAUSE | {"for": "2h", "until": "2100-01-01T00:00:00Z"}, "not as both"),
        ({"act": "unlock", "resource": "r", "reason": "r", "fence": 0}, "at `$.fence`"),
        ({"act": "unlock", "resource": "r", "reason": "r", "fence": 1 << 63}, "at `$.fence`"),
    ],
)
def test_a_wrong_body_is_refused_with_the_place(
    office: Office, api: httpx.Client, body: bytes | dict[str, Any], words: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = api.post("acts", content=content, headers={"Content-Type": "application/json"})
    assert_problem(answer, 400, words)
    assert office.operator.log() == []


def test_a_body_is_json_and_small(api: httpx.Client) -> None:
    assert_problem(api.post("acts", data=PAUSE), 415, "application/json")
    assert_problem(api.post("acts", content=json.dumps(PAUSE), headers={"Content-Type": "text/plain"}), 415, "json")
    assert_problem(api.post("acts", json=PAUSE | {"reason": "x" * BODY_MAX}), 413, "65,536 bytes")


# --- who may


def test_nobody_acts_through_a_read_only_sidecar(tmp_path: Path) -> None:
    with open_office(tmp_path, operators=None) as (office, url), httpx.Client(base_url=f"{url}/api/v1/") as api:
        assert_problem(api.post("acts", json=PAUSE), 403, "read-only")
        assert_problem(api.post("acts", content=b"nonsense"), 403, "read-only")
        assert office.operator.log() == []
        for path in ("stores", "jobs", "runs", "orders", "acts"):
            assert api.get(path).status_code == 200


def test_a_viewer_looks_and_does_not_act(tmp_path: Path) -> None:
    with open_office(tmp_path, token="view") as (office, url), httpx.Client(base_url=f"{url}/api/v1/") as api:
        assert_problem(api.get("orders"), 401, "token")
        assert_problem(api.post("acts", json=PAUSE), 401, "token")
        api.headers["Authorization"] = "Bearer view"
        assert api.get("orders").status_code == 200
        assert_problem(api.post("acts", json=PAUSE), 403, "you may look, and not act")
        assert office.operator.log() == []


def test_a_proxys_user_acts_under_that_name_alone(office: Office, api: httpx.Client) -> None:
    del api.headers["Authorization"]
    api.headers["Sec-Fetch-Site"] = "same-origin"
    assert_problem(api.post("acts", json=PAUSE, headers={"X-Forwarded-User": "bob"}), 403, "you may look")
    anna = {"X-Forwarded-User": "anna"}
    assert_problem(api.post("acts", json=PAUSE | {"by": "bob"}, headers=anna), 400, "you act as anna, not as bob")
    assert api.post("acts", json=PAUSE, headers=anna).json()["act"]["by"] == "anna"
    assert office.operator.log()[0].entry.by == "anna"


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, {"Origin": "https://evil.example"}, {}]
)
def test_no_page_of_another_site_acts(office: Office, api: httpx.Client, headers: dict[str, str]) -> None:
    del api.headers["Authorization"]
    answer = api.post("acts", json=PAUSE, headers={"X-Forwarded-User": "anna"} | headers)
    assert_problem(answer, 403, "another site")
    assert office.operator.log() == []


# --- what is read


def test_what_stands_is_listed(office: Office, api: httpx.Client) -> None:
    office.operator.pause("sync", "mail", "the queue is long", None)
    office.operator.drain("host-1", None, "a new disk", None)
    listed = api.get("orders").json()
    assert listed["store"] == office.name
    pause, drain = listed["orders"]
    assert (pause["order"], pause["service"], pause["job"], pause["by"]) == ("pause", "mail", "sync", "carl")
    assert (pause["reason"], pause["number"], pause["until"]) == ("the queue is long", 1, None)
    assert (drain["order"], drain["service"], drain["owner"]) == ("drain", "billing", "host-1")


def test_the_log_is_paged_from_the_newest(office: Office, api: httpx.Client) -> None:
    for number in range(5):
        office.operator.pause("nightly", "billing", f"reason {number}", None)
    seen, path = [], "/api/v1/acts?limit=2"
    while path:
        page = api.get(str(api.base_url.copy_with(raw_path=path.encode()))).json()
        assert len(page["acts"]) <= 2
        seen += [(act["number"], act["reason"]) for act in page["acts"]]
        path = page["next"]
    assert seen == [(number + 1, f"reason {number}") for number in reversed(range(5))]


def test_jobs_say_whether_they_are_paused_and_who_has_them(office: Office, api: httpx.Client) -> None:
    office.operator.pause("nightly", "billing", "r", None)
    jobs = {(job["service"], job["job"]): job for job in api.get("jobs").json()["jobs"]}
    assert list(jobs) == [("billing", "nightly"), ("billing", "sync"), ("mail", "sync")]
    nightly = jobs["billing", "nightly"]
    assert (nightly["paused_by"], nightly["presence"], nightly["grace_s"]) == ("carl", "all", 1.0)
    assert (jobs["mail", "sync"]["paused_by"], jobs["mail", "sync"]["presence"]) == ("", "no instance")


def test_runs_are_paged_and_each_is_answered_once(office: Office, api: httpx.Client) -> None:
    for number in range(5):
        due_ns = DUE_NS + number * SECOND
        for job in ("nightly", "sync"):
            run_id = f"{job}-{number}"
            fence = office.claim(due_ns, run_id, job)
            office.settle(due_ns, run_id, fence, job=job, detail="no space left" if number == 3 else "")
    for query, wanted in (("", 10), ("job=nightly&", 5), ("job=sync&service=billing&", 5)):
        seen, path = [], f"/api/v1/runs?{query}limit=3"
        while path:
            page = api.get(str(api.base_url.copy_with(raw_path=path.encode()))).json()
            assert page["runs"]
            seen += page["runs"]
            path = page["next"]
        assert len({run["run_id"] for run in seen}) == len(seen) == wanted
        assert [run["due"] for run in seen] == sorted((run["due"] for run in seen), reverse=True)
    failed = next(run for run in seen if run["outcome"] == "failure")
    assert (failed["detail"], failed["kind"], failed["attempt"]) == ("no space left", "scheduled", 1)


def test_more_runs_at_one_instant_than_a_page_holds_are_one_page(office: Office, api: httpx.Client) -> None:
    for job in ("nightly", "sync"):
        office.claim(DUE_NS, f"late-{job}", job)
    page = api.get("runs?limit=1").json()
    assert (len(page["runs"]), page["next"]) == (2, None)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("runs?job=sync", 400, "billing and mail each have a job sync"),
        ("runs?service=billing", 400, "say which job"),
        ("runs?job=nightli", 404, "there is no job nightli"),
        ("runs?job=nightly&service=mail", 404, "there is no job nightly of mail"),
        ("runs?limit=0", 400, "at `$.limit`"),
        ("runs?limit=1001", 400, "at `$.limit`"),
        ("runs?before=-1", 400, "at `$.before`"),
        ("runs?befor=1", 400, "unknown field `befor`"),
        ("acts?limit=1&limit=2", 400, "limit is given more than once"),
        ("orders?store=sqlite:///other.db", 404, "there is no store sqlite:///other.db here"),
        ("nothing", 404, "openapi.json lists all"),
    ],
)
def test_a_wrong_question_is_refused(api: httpx.Client, path: str, status: int, words: str) -> None:
    assert_problem(api.get(path), status, words)


def test_a_method_that_there_is_not_is_named(api: httpx.Client) -> None:
    answer = api.delete("acts")
    assert_problem(answer, 405, "only GET and HEAD and POST")
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert api.head("acts").status_code == 200


# --- stores


def test_where_there_are_several_stores_one_is_named(office: Office, tmp_path: Path) -> None:
    desks = Desks({"one": lambda: office.store, "other": lambda: office.store})
    (tmp_path / "two").mkdir()
    with open_office(tmp_path / "two", desks=desks) as (_, url), httpx.Client(base_url=f"{url}/api/v1/") as api:
        assert api.get("stores").json() == {"stores": ["one", "other"]}
        assert_problem(api.get("orders"), 400, "say which store: one or other")
        assert api.get("orders?store=other").json() == {"store": "other", "orders": []}
        body = assert_problem(api.get("orders?store=othe"), 404, "there is no store othe here")
        assert body["instead"] == ["other"]


def test_without_a_store_it_says_what_is_missing(tmp_path: Path) -> None:
    with open_office(tmp_path, desks=Desks({})) as (_, url):
        assert_problem(httpx.get(f"{url}/api/v1/orders"), 404, "--store")


def test_a_store_that_does_not_answer_is_a_problem_that_passes(tmp_path: Path) -> None:
    def broken() -> Store:
        raise StoreUnavailable("sqlite", "open", "the disk is gone")

    with open_office(tmp_path, desks=Desks({"it": broken})) as (_, url):
        answer = httpx.get(f"{url}/api/v1/orders")
        assert_problem(answer, 503, "the disk is gone")
        assert answer.headers["retry-after"] == "2"


def test_a_store_that_hangs_holds_up_neither_the_page_nor_other_stores(tmp_path: Path) -> None:
    hanging, awake = threading.Semaphore(0), threading.Event()
    (tmp_path / "two").mkdir()

    def hang(office: Office) -> Callable[[], Store]:
        def opened() -> Store:
            hanging.release()
            assert awake.wait(60)
            return office.store

        return opened

    with open_office(tmp_path) as (office, _):
        desks = Desks({"hung": hang(office), "well": lambda: office.store})
        with open_office(tmp_path / "two", desks=desks) as (_, url):
            path = f"{url}/api/v1/orders?store="
            asking = [threading.Thread(target=httpx.get, args=(f"{path}hung",)) for _ in range(WAITING_MAX)]
            for thread in asking:
                thread.start()
                assert hanging.acquire(timeout=60)
            try:
                assert_problem(httpx.get(f"{path}hung"), 503, f"{WAITING_MAX} requests wait for it already")
                assert httpx.get(f"{path}well").status_code == 200
                assert httpx.get(url).status_code == 200
            finally:
                awake.set()
                for thread in asking:
                    thread.join()
            assert httpx.get(f"{path}hung").status_code == 200


def test_the_probe_is_told_of_each_act(office: Office, tmp_path: Path) -> None:
    told = threading.Event()
    (tmp_path / "two").mkdir()
    desks = Desks({"it": lambda: office.store}, told.set)
    with open_office(tmp_path / "two", desks=desks, operators=OPERATORS) as (_, url):
        headers = {"X-Forwarded-User": "anna", "Sec-Fetch-Site": "same-origin"}
        assert httpx.post(f"{url}/api/v1/acts", json=PAUSE, headers=headers).status_code == 200
        assert told.is_set()
