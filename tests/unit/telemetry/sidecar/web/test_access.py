"""Who asks, what that person may do, and which requests another site's page has made."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from tickglass.telemetry.endpoint.operators import Operators
from tickglass.telemetry.sidecar.web.access import Access, Actor, Role

PROXY = Operators(token="op", header="X-Forwarded-User", proxies=("127.0.0.1",), names=("anna", "bob"))
OPERATOR, VIEWER = Role.OPERATOR, Role.VIEWER


def asked(*more: tuple[str, str], method: str = "GET", peer: str = "127.0.0.1", **headers: str) -> Request:
    named = [*((name.replace("_", "-"), value) for name, value in headers.items()), *more]
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in named]
    return Request({"type": "http", "method": method, "path": "/", "headers": raw, "client": (peer, 5), "server": None})


def cookie_of(access: Access, token: str) -> str:
    cookie = access.cookie_for(token)
    assert cookie is not None
    return "=".join(cookie)


def test_a_token_says_what_its_bearer_may_do() -> None:
    access = Access("view", Operators(token="op"))
    assert access.actor(asked(authorization="Bearer op")) == Actor(OPERATOR)
    assert access.actor(asked(authorization="Bearer view")) == Actor(VIEWER)
    assert access.actor(asked(authorization="Bearer other")) is None
    assert access.actor(asked()) is None


def test_so_does_the_cookie_made_from_it_which_browsers_send_by_themselves() -> None:
    access = Access("view", Operators(token="op"))
    assert access.actor(asked(cookie=cookie_of(access, "op"))) == Actor(OPERATOR, ambient=True)
    assert access.actor(asked(cookie=cookie_of(access, "view"))) == Actor(VIEWER)
    assert access.cookie_for("other") is None
    assert access.cookie_for("") is None


def test_without_a_viewers_token_everybody_looks_and_operators_act() -> None:
    access = Access("", Operators(token="op"))
    assert access.actor(asked()) == Actor(VIEWER)
    assert access.actor(asked(authorization="Bearer op")) == Actor(OPERATOR)
    assert access.can_sign_in
    assert access.cookie_for("") is None


def test_nobody_acts_where_no_operator_is_named() -> None:
    access = Access("view")
    assert not access.can_act
    assert access.actor(asked(authorization="Bearer view")) == Actor(VIEWER)
    assert access.actor(asked(authorization="Bearer view", x_forwarded_user="anna")) == Actor(VIEWER)


def test_a_trusted_proxy_names_its_user() -> None:
    access = Access("view", PROXY)
    assert access.actor(asked(x_forwarded_user="anna")) == Actor(OPERATOR, "anna", ambient=True)
    assert access.actor(asked(x_forwarded_user="carl")) == Actor(VIEWER, "carl", ambient=True)
    assert access.actor(asked(x_forwarded_user="")) is None
    assert access.actor(asked(x_forwarded_user="anna", authorization="Bearer op")) == Actor(OPERATOR, "anna")


def test_no_other_client_names_a_user() -> None:
    access = Access("view", PROXY)
    assert access.actor(asked(peer="10.0.0.5", x_forwarded_user="anna")) is None
    assert access.actor(asked(peer="10.0.0.5", x_forwarded_user="anna", x_forwarded_for="127.0.0.1")) is None


@pytest.mark.parametrize(
    ("proxy", "peer"),
    [
        ("10.0.0.7", "::ffff:10.0.0.7"),  # we listen on all interfaces
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("fd00:0:0:0::7", "fd00::7"),
    ],
)
def test_a_proxys_address_is_known_however_it_is_written(proxy: str, peer: str) -> None:
    access = Access("view", Operators(header="X-User", proxies=(proxy,), names=("anna",)))
    assert access.actor(asked(peer=peer, x_user="anna")) == Actor(OPERATOR, "anna", ambient=True)
    assert access.actor(asked(peer="/run/socket", x_user="anna")) is None


def test_a_name_is_utf_8() -> None:
    access = Access("view", Operators(header="X-User", proxies=("::1",), names=("jürgen",)))
    named = "jürgen".encode().decode("latin-1")
    assert access.actor(asked(peer="::1", x_user=named)) == Actor(OPERATOR, "jürgen", ambient=True)
    assert access.actor(asked(peer="::1", x_user="jürgen")) is None


def test_two_names_are_none_because_a_client_may_have_sent_one_of_them() -> None:
    access = Access("view", PROXY)
    assert access.actor(asked(("X-Forwarded-User", "anna"), ("x-forwarded-user", "carl"))) is None


@pytest.mark.parametrize(
    ("name", "given", "signature"),
    [
        ("anna", "", "anna"),
        ("anna", "bob", "anna"),
        ("", "bob", "bob (operator via sidecar)"),
        ("", "", "operator via sidecar"),
    ],
)
def test_an_act_is_always_signed(name: str, given: str, signature: str) -> None:
    assert Actor(OPERATOR, name).signature(given) == signature


@pytest.mark.parametrize(
    ("headers", "forged"),
    [
        ({"sec_fetch_site": "same-origin"}, False),
        ({"sec_fetch_site": "none"}, False),
        ({"sec_fetch_site": "same-site"}, True),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, True),
        ({"sec_fetch_site": "cross-site", "origin": "http://host:9463"}, True),
        ({"origin": "http://host:9463"}, False),
        ({"origin": "http://HOST:9463"}, False),
        ({"origin": "http://host"}, True),
        ({"origin": "http://evil.example"}, True),
        ({"origin": "null"}, True),
        ({}, True),  # a browser says one or the other
    ],
)
def test_a_form_of_another_site_is_told_from_ours(headers: dict[str, str], *, forged: bool) -> None:
    access = Access("", PROXY)
    cookie = cookie_of(access, "op")
    assert access.is_forged(asked(method="POST", host="host:9463", cookie=cookie, **headers)) is forged
    assert access.is_forged(asked(method="POST", host="host:9463", x_forwarded_user="anna", **headers)) is forged
    assert not access.is_forged(asked(host="host:9463", cookie=cookie, **headers)), "it only looks"


def test_a_program_that_bears_its_token_needs_no_origin() -> None:
    assert not Access("", PROXY).is_forged(asked(method="POST", authorization="Bearer op"))


def test_a_form_key_belongs_to_one_person_and_one_process() -> None:
    access = Access("", PROXY)
    anna, bob = Actor(OPERATOR, "anna"), Actor(OPERATOR, "bob")
    assert access.is_form_key(access.form_key(anna), anna)
    assert not access.is_form_key(access.form_key(anna), bob)
    assert not access.is_form_key(access.form_key(anna), Actor(VIEWER, "anna"))
    assert not access.is_form_key("", anna)
    assert not access.is_form_key("ü", anna)
    assert not Access("", PROXY).is_form_key(access.form_key(anna), anna)
