"""Every route, every header, and what is not answered."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from kit.view_samples import ill, twins, well

from tickglass.telemetry.endpoint.operators import Operators
from tickglass.telemetry.sidecar.view import View
from tickglass.telemetry.sidecar.web import sidecar_app
from tickglass.telemetry.sidecar.web.auth import TokenAuth
from tickglass.telemetry.sidecar.web.auth_middleware import HEADERS
from tickglass.telemetry.sidecar.web.bodies import FIELDS_MAX
from tickglass.telemetry.sidecar.web.page import ASSETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping

HTML = {"Accept": "text/html,application/xhtml+xml"}
ROUTES = ["/", "/jobs/reconcile", "/view.json", "/metrics", "/healthz", "/readyz", ASSETS["page.css"].href]


TOKEN = "s3cret"


@pytest.fixture
def scene(request: pytest.FixtureRequest, shared: Callable[[str], tuple[Any, str]]) -> Any:  # noqa: ANN401
    return shared(TOKEN if "guarded" in request.fixturenames else "")[0]


@pytest.fixture
def web(shared: Callable[[str], tuple[Any, str]]) -> Iterator[httpx.Client]:
    """Ask a sidecar that lets everybody in."""
    with httpx.Client(base_url=shared("")[1]) as client:
        yield client


@pytest.fixture
def guarded(shared: Callable[[str], tuple[Any, str]]) -> Iterator[httpx.Client]:
    """Ask a sidecar that asks for its token."""
    with httpx.Client(base_url=shared(TOKEN)[1]) as client:
        yield client


def assert_guarded(answer: httpx.Response) -> None:
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "cache-control" in answer.headers
    assert "server" not in answer.headers


@pytest.mark.parametrize("path", [*ROUTES, "/nowhere", "/static/nothing", "/static/..%2fapp.py", "/sign-in"])
def test_every_answer_says_what_browsers_may_do_with_it(web: httpx.Client, path: str) -> None:
    assert_guarded(web.get(path))
    assert_guarded(web.get(path, headers=HTML))


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", ROUTES)
def test_nothing_can_be_changed(web: httpx.Client, path: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = web.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
        assert_guarded(answer)


@pytest.mark.parametrize("path", [*ROUTES, "/events"])
def test_a_head_is_answered_without_a_body(web: httpx.Client, path: str) -> None:
    answer = web.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_the_board_and_a_jobs_page_are_html(scene: Any, web: httpx.Client) -> None:  # noqa: ANN401
    scene.view = ill()
    board = web.get("/")
    assert board.headers["content-type"] == "text/html; charset=utf-8"
    assert "Not well: lock ledger:eu" in board.text
    assert "its previous run was still running" in web.get("/jobs/reconcile").text


def test_a_job_is_found_whatever_it_is_called(scene: Any, web: httpx.Client) -> None:  # noqa: ANN401
    name = "a/b c?d#e%2f"
    view = well()
    scene.view = msgspec.structs.replace(view, jobs=[msgspec.structs.replace(view.jobs[0], name=name)])
    answer = web.get("/jobs/a%2Fb%20c%3Fd%23e%252f")
    assert answer.status_code == 200
    assert f'<h1 class="name">{name}</h1>' in answer.text


def test_a_job_is_found_by_its_service(scene: Any, web: httpx.Client) -> None:  # noqa: ANN401
    scene.view = twins()
    answers = {asked: web.get(f"/jobs/cleanup{asked}") for asked in ("", "?service=billing", "?service=sales")}
    assert [answer.status_code for answer in answers.values()] == [200, 200, 404]
    assert "Not well" in answers[""].text
    assert "All well" in answers["?service=billing"].text


def test_an_unknown_job_has_a_page_that_says_so(web: httpx.Client) -> None:
    answer = web.get("/jobs/nobody")
    assert answer.status_code == 404
    assert "No scheduler tells of a job of this name" in answer.text
    assert "Did you mean" not in answer.text


def test_an_unknown_job_is_answered_with_links_to_the_near_ones(web: httpx.Client) -> None:
    answer = web.get("/jobs/Reconcil")
    assert answer.status_code == 404
    assert 'Did you mean <a href="/jobs/reconcile' in answer.text


def test_a_page_that_does_not_exist_is_answered_with_404_and_the_pages_that_do(web: httpx.Client) -> None:
    assert web.get("/nowhere", headers=HTML).headers["content-type"].startswith("text/html")
    plain = web.get("/nowhere")
    assert plain.status_code == 404
    assert plain.text == "not found; there are /, /jobs/NAME, /view.json, /metrics, /healthz and /readyz\n"


def test_the_view_is_read_back_as_it_was(scene: Any, web: httpx.Client) -> None:  # noqa: ANN401
    scene.view = ill()
    answer = web.get("/view.json")
    assert answer.headers["content-type"] == "application/json"
    assert msgspec.json.decode(answer.content, type=View) == ill()


def test_a_scrape_is_passed_on_and_compressed_for_those_who_can_read_that(web: httpx.Client) -> None:
    answer = web.get("/metrics", headers={"Accept": "some/format", "Accept-Encoding": "gzip"})
    assert answer.headers["content-type"] == "text/plain; version=0.0.4"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text.startswith("# for some/format\n")
    plain = web.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text.count("up 1") == 1_000


def test_readiness_says_why_not(scene: Any, web: httpx.Client) -> None:  # noqa: ANN401
    assert (web.get("/readyz").status_code, web.get("/readyz").text) == (200, "ready\n")
    scene.reasons = ["no store was read yet", "no scheduler"]
    answer = web.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "no store was read yet\nno scheduler\n")
    assert web.get("/healthz").text == "ok\n"


def test_files_are_kept_for_ever_under_an_address_that_changes_with_them(web: httpx.Client) -> None:
    for asset in ASSETS.values():
        answer = web.get(asset.href)
        assert (answer.content, answer.headers["content-type"]) == (asset.body, asset.content_type)
        assert "immutable" in answer.headers["cache-control"]
        assert web.get(f"/static/{asset.name}?v=0").headers["cache-control"] == "no-store"
    assert web.get("/").headers["cache-control"] == "no-store"


def test_a_view_that_fails_is_an_error_that_is_told_and_hides_its_inside(
    scene: Any,  # noqa: ANN401
    web: httpx.Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene.view = RuntimeError("secret inside")
    with caplog.at_level(logging.ERROR):
        answer = web.get("/")
    assert answer.status_code == 500
    assert "secret inside" not in answer.text
    assert "secret inside" in caplog.text
    assert_guarded(answer)


# --- the token


@pytest.mark.parametrize("path", ["/", "/jobs/reconcile", "/view.json", "/metrics", "/events", "/nowhere"])
def test_the_token_is_asked_of_everybody(scene: Any, guarded: httpx.Client, path: str) -> None:  # noqa: ANN401
    answer = guarded.get(path)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="tickglass"')
    assert_guarded(answer)
    assert guarded.get(path, headers={"Authorization": "Bearer other"}).status_code == 401
    if path != "/events":
        assert guarded.get(path, headers={"Authorization": "Bearer s3cret"}).status_code in (200, 404)
    assert scene.looks <= 1, "nothing is looked at for who may not see it"


def test_a_probe_needs_no_token_and_is_told_no_reasons(scene: Any, guarded: httpx.Client) -> None:  # noqa: ANN401
    assert guarded.get("/healthz").status_code == 200
    assert (guarded.get("/readyz").status_code, guarded.get("/readyz").text) == (200, "ready\n")
    scene.reasons = ["no scheduler is at 10.0.0.7"]
    probe = guarded.get("/readyz")
    assert probe.status_code == 503
    assert "10.0.0.7" not in probe.text
    assert_guarded(probe)
    told = guarded.get("/readyz", headers={"Authorization": "Bearer s3cret"})
    assert (told.status_code, told.text) == (503, "no scheduler is at 10.0.0.7\n")


def test_the_style_sheet_needs_no_token(guarded: httpx.Client) -> None:
    assert guarded.get(ASSETS["page.css"].href).status_code == 200


@pytest.mark.parametrize("host", ["x/healthz?", "x/healthz#", "x/static/", "x/sign-in?", "[", "x:y"])
def test_no_host_leads_past_the_token(scene: Any, guarded: httpx.Client, host: str) -> None:  # noqa: ANN401
    for path in ("/metrics", "/view.json", "/"):
        assert guarded.get(path, headers={"Host": host}).status_code == 401
    assert scene.looks == 0
    assert guarded.post("/sign-in", data={"token": TOKEN}, headers={"Host": host}).status_code == 303


def test_a_person_gives_the_token_once(guarded: httpx.Client) -> None:
    form = guarded.get("/jobs/reconcile?x=1", headers=HTML)
    assert form.status_code == 401
    assert 'name="back" value="/jobs/reconcile?x=1"' in form.text
    answer = guarded.post("/sign-in", data={"token": "s3cret", "back": "/jobs/reconcile?x=1"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/reconcile?x=1")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    assert "s3cret" not in cookie
    assert guarded.get("/jobs/reconcile").status_code == 200


def test_behind_a_proxy_that_speaks_tls_the_cookie_is_for_tls_alone(guarded: httpx.Client) -> None:
    answer = guarded.post("/sign-in", data={"token": "s3cret"}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("token", ["", "wrong", "s3cret" * 5_000])
def test_a_wrong_token_gives_no_cookie(guarded: httpx.Client, token: str) -> None:
    answer = guarded.post("/sign-in", data={"token": token, "back": "//evil.example"})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "That is not the token" in answer.text
    assert "evil.example" not in answer.text


def test_a_form_that_breaks_off_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    app = sidecar_app(well, lambda _: ("", b""), list, token=TOKEN)
    told = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        told.append(message["type"])

    scope = {"type": "http", "method": "POST", "path": "/sign-in", "query_string": b"", "headers": [], "scheme": "http"}
    asyncio.run(app(scope, receive, send))
    assert told == ["http.response.start", "http.response.body"]
    assert caplog.records == []


def test_a_form_with_too_many_fields_is_nobodys(guarded: httpx.Client) -> None:
    answer = guarded.post("/sign-in", data={"token": "s3cret", **{str(number): "x" for number in range(FIELDS_MAX)}})
    assert (answer.status_code, "That is not the token" in answer.text) == (401, True)


def test_blanks_that_were_copied_with_the_token_do_not_matter(guarded: httpx.Client) -> None:
    assert guarded.post("/sign-in", data={"token": " s3cret\t"}).status_code == 303


def test_a_form_leads_to_no_other_site(guarded: httpx.Client) -> None:
    answer = guarded.post("/sign-in", data={"token": "s3cret", "back": "https://evil.example"})
    assert answer.headers["location"] == "/"


def test_without_a_token_there_is_nothing_to_sign_in_to(web: httpx.Client) -> None:
    assert web.get("/sign-in").status_code == 404
    assert not TokenAuth("")


def test_a_page_of_another_site_is_not_answered(scene: Any, web: httpx.Client) -> None:  # noqa: ANN401
    answer = web.get("/view.json", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"})
    assert answer.status_code == 421
    assert scene.looks == 0
    assert_guarded(answer)


def test_large_pages_are_compressed(web: httpx.Client) -> None:
    with web.stream("GET", "/view.json", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert json.loads(gzip.decompress(raw))["jobs"]
    assert "Accept-Encoding" in answer.headers["vary"]


# --- who acts


@pytest.fixture
def acting(served: Callable[..., str]) -> Iterator[httpx.Client]:
    """Ask a sidecar that lets everybody look, and some act."""
    operators = Operators(token="op", header="X-User", proxies=("10.0.0.5",), names=("anna",))
    with httpx.Client(base_url=served(operators=operators)) as client:
        yield client


def test_an_operator_signs_in_though_everybody_may_look(acting: httpx.Client) -> None:
    assert acting.get("/").status_code == 200
    assert acting.post("/sign-in", data={"token": "no"}).status_code == 401
    assert acting.post("/sign-in", data={"token": "op"}).status_code == 303


def test_no_form_of_another_site_signs_a_browser_in(acting: httpx.Client) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, {"Origin": "https://evil.example"}):
        answer = acting.post("/sign-in", data={"token": "op"}, headers=headers)
        assert (answer.status_code, "another site" in answer.text) == (403, True)
        assert_guarded(answer)


def test_a_program_is_refused_in_json_under_api(guarded: httpx.Client) -> None:
    answer = guarded.get("/api/v1/orders", headers=HTML | {"Accept": "*/*"})
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert answer.json()["detail"].startswith("this sidecar requires its token")
    assert_guarded(answer)
