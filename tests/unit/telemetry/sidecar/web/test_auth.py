"""Who may look."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from tickglass.telemetry.sidecar.web.auth import TokenAuth, came_over_tls, path_back


def asked(server: str = "127.0.0.1", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": raw, "server": (server, 9464)})


@pytest.mark.parametrize("given", ["", "s3cre", "s3cret ", "S3CRET", "s3cret\0", "ünïcode"])
def test_nothing_but_the_token_itself_is_accepted(given: str) -> None:
    entry = TokenAuth("s3cret")
    assert entry.is_token("s3cret")
    assert not entry.is_token(given)
    assert not entry.admits(asked(authorization=f"Bearer {given.encode().decode('latin-1')}x"))


def test_the_token_or_its_cookie_lets_in() -> None:
    entry = TokenAuth("s3cret")
    assert entry.admits(asked(authorization="Bearer s3cret"))
    assert entry.admits(asked(authorization="bearer  s3cret"))
    assert entry.admits(asked(cookie=f"a=b; {entry.cookie}={entry.cookie_value}"))
    assert not entry.admits(asked(authorization="Basic s3cret"))
    assert not entry.admits(asked(cookie=f"{entry.cookie}=s3cret"))
    assert not entry.admits(asked())
    assert TokenAuth("").admits(asked())


def test_a_cookie_does_not_give_the_token_away_and_belongs_to_one_token() -> None:
    one, other = TokenAuth("s3cret"), TokenAuth("another")
    assert "s3cret" not in one.cookie + one.cookie_value
    assert one.cookie != other.cookie
    assert one.cookie_value != other.cookie_value
    assert (one.cookie, one.cookie_value) == (TokenAuth("s3cret").cookie, TokenAuth("s3cret").cookie_value)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:9464", "LOCALHOST.:80", "tickglass.localhost", "127.0.0.1:1", "127.1.2.3", "[::1]:9464"],
)
def test_loopback_may_be_asked_by_its_own_names(host: str) -> None:
    assert not TokenAuth("").is_smuggled(asked(host=host))


@pytest.mark.parametrize("server", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9464", "10.0.0.1", "localhost.evil.example", "[", "a b", "::1"]
)
def test_a_name_that_was_made_to_mean_this_machine_is_refused(server: str, host: str) -> None:
    assert TokenAuth("").is_smuggled(asked(server, host=host))


def test_where_a_token_is_asked_for_the_name_does_not_matter() -> None:
    assert not TokenAuth("s3cret").is_smuggled(asked(host="sidecar.example"))


def test_other_addresses_may_have_any_name() -> None:
    assert not TokenAuth("").is_smuggled(asked("10.0.0.7", host="sidecar.example"))
    assert not TokenAuth("").is_smuggled(asked("/run/some.sock", host="sidecar.example"))


@pytest.mark.parametrize(("site", "smuggled"), [("same-origin", 0), ("none", 0), ("same-site", 1), ("cross-site", 1)])
def test_another_sites_page_cannot_ask(site: str, smuggled: int) -> None:
    for entry in (TokenAuth(""), TokenAuth("s3cret")):
        assert entry.is_smuggled(asked(host="localhost", sec_fetch_site=site, sec_fetch_mode="cors")) == bool(smuggled)
        assert not entry.is_smuggled(asked(host="localhost", sec_fetch_site=site, sec_fetch_mode="navigate")), "a link"


@pytest.mark.parametrize(
    "given",
    ["", "jobs", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "/\t/evil.example", "/ä"],
)
def test_signing_in_leads_to_no_other_site(given: str) -> None:
    assert path_back(given) == "/"


@pytest.mark.parametrize("given", ["/", "/jobs/a%2Fb?x=1&y=2"])
def test_signing_in_leads_back(given: str) -> None:
    assert path_back(given) == given


def test_only_a_proxy_on_this_host_says_that_a_request_came_over_tls() -> None:
    def asked_by(peer: str, scheme: str, forwarded: str) -> Request:
        scope = asked(x_forwarded_proto=forwarded).scope
        return Request({**scope, "client": (peer, 5), "scheme": scheme})

    assert came_over_tls(asked_by("10.0.0.5", "https", ""))
    assert came_over_tls(asked_by("127.0.0.1", "http", "https"))
    assert not came_over_tls(asked_by("127.0.0.1", "http", "http"))
    assert not came_over_tls(asked_by("10.0.0.5", "http", "https"))
