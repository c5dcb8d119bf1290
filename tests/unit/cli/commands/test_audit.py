"""`tickglass orders` shows what stands, `tickglass audit` who did what, newest first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tickglass.cli.commands import audit as audit_module
from tickglass.control import Control
from tickglass.sched.ports import InstanceRecord

if TYPE_CHECKING:
    from unit.cli.conftest import Filled, Tickglass

OWNER = "host/billing/0"


@pytest.fixture
def anna(filled: Filled) -> Control:
    filled.register("sync", trigger='every("1m")')
    filled.register("nightly", trigger='cron("30 2 * * *")')
    filled.register("letters", service="mail")
    filled.store.join(InstanceRecord("billing", OWNER, "i1", "1.2.3", "f00d", "running"), ["sync", "nightly"])
    return Control(filled.store, by="anna")


def acts_of_all_kinds(anna: Control, filled: Filled) -> None:
    anna.pause("sync", reason="the warehouse\nis moved", for_="2h")
    anna.skip("nightly", reason="holiday")
    anna.trigger("sync", reason="lost one")
    filled.claim("sync", run_id="c0ffee" + "0" * 26)
    anna.cancel("sync", reason="wrong day")
    anna.drain(OWNER, reason="new kernel")


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()[2:]]


def fields(tickglass: Tickglass, *words: str) -> list[dict[str, Any]]:
    result = tickglass(*words, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(("command", "what"), [("orders", "orders"), ("audit", "acts")])
def test_before_the_first_act_there_is_nothing_to_show(
    command: str, what: str, filled: Filled, tickglass: Tickglass
) -> None:
    nothing = tickglass(command, filled.url)
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "", f"no {what}\n")
    assert fields(tickglass, command, filled.url) == []


def test_orders_are_shown_oldest_first_with_what_they_are_about(
    anna: Control, filled: Filled, tickglass: Tickglass
) -> None:
    acts_of_all_kinds(anna, filled)
    found = rows(tickglass("orders", filled.url).stdout)
    assert [row[:4] for row in found] == [
        ["1", "pause", "sync", "billing"],
        ["2", "skip", "nightly", "billing"],
        ["3", "run", "sync", "billing"],
        ["4", "cancel", "sync", "billing"],
        ["5", "drain", "-", "billing"],
    ]
    assert [row[4] for row in found] == ["-", "due", "due", "run", OWNER]
    assert all("anna" in row for row in found)
    assert found[0][-2:] == ["the", "warehouse"], "the first line of the reason"


def test_an_order_that_was_taken_back_does_not_stand(anna: Control, filled: Filled, tickglass: Tickglass) -> None:
    anna.pause("sync", reason="moved")
    anna.resume("sync", reason="done")
    assert tickglass("orders", filled.url).stderr == "no orders\n"


def test_orders_as_json_have_their_own_fields(anna: Control, filled: Filled, tickglass: Tickglass) -> None:
    acts_of_all_kinds(anna, filled)
    found = {it["order"]: it for it in fields(tickglass, "orders", filled.url)}
    shared = {"order", "number", "by", "reason", "since_ns", "since_at", "until_ns", "until_at", "service"}
    assert {name: set(it) - shared for name, it in found.items()} == {
        "pause": {"job"},
        "skip": {"job", "due_ns", "due_at"},
        "run": {"job", "due_ns", "due_at"},
        "cancel": {"job", "run_id"},
        "drain": {"owner"},
    }
    assert all(shared <= set(it) for it in found.values())
    assert found["skip"]["due_at"].endswith("02:30:00.000000+00:00")
    assert found["drain"]["until_at"] is None


def test_acts_are_shown_newest_first(anna: Control, filled: Filled, tickglass: Tickglass) -> None:
    acts_of_all_kinds(anna, filled)
    lease = filled.claim("nightly", run_id="d" * 32)
    anna.unlock("res:nightly", fence=lease.fence, reason="stuck")
    table = rows(tickglass("audit", filled.url).stdout)
    assert [(row[0], row[4]) for row in table] == [
        ("6", "unlock"),
        ("5", "drain"),
        ("4", "cancel"),
        ("3", "trigger"),
        ("2", "skip"),
        ("1", "pause"),
    ]
    assert {row[3] for row in table} == {"anna"}
    assert table[0][5:10] == ["nightly", "billing", "res:nightly", "(fence", f"{lease.fence})"]
    told = fields(tickglass, "audit", filled.url)
    assert [(it["number"], it["act"], it["reason"]) for it in told[:2]] == [
        (6, "unlock", "stuck"),
        (5, "drain", "new kernel"),
    ]
    assert (told[0]["target"], told[0]["fence"], told[1]["target"]) == ("res:nightly", lease.fence, OWNER)


def test_limit_job_and_service_narrow_what_is_shown(anna: Control, filled: Filled, tickglass: Tickglass) -> None:
    anna.pause("sync", reason="a")
    anna.pause("*", reason="b")
    anna.pause("letters", reason="c")
    anna.pause("n*", service="billing", reason="d")

    def reasons(*words: str) -> str:
        return "".join(it["reason"] for it in fields(tickglass, "audit", filled.url, *words))

    assert reasons() == "dcba"
    assert reasons("--limit", "2") == "dc"
    assert reasons("--job", "sync") == "ba"
    assert reasons("--job", "nightly") == "db"
    assert reasons("--job", "sync", "--limit", "1") == "b"
    assert reasons("--service", "mail") == "cb"
    assert reasons("--job", "nightly", "--service", "mail") == "b"


def test_acts_on_a_job_are_found_beyond_the_first_page(
    anna: Control, filled: Filled, tickglass: Tickglass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "_PAGE", 2)
    anna.pause("sync", reason="first")
    for count in range(5):
        anna.pause("nightly", reason=f"again {count}")
    (only,) = fields(tickglass, "audit", filled.url, "--job", "sync")
    assert only["reason"] == "first"


def test_a_misspelt_job_is_not_taken_for_one_that_nobody_acted_on(
    anna: Control, filled: Filled, tickglass: Tickglass
) -> None:
    assert fields(tickglass, "audit", filled.url, "--job", "sync") == []
    wrong = tickglass("audit", filled.url, "--job", "synk")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "write: sync" in wrong.stderr
    assert tickglass("audit", filled.url, "--service", "biling").exit_code == 2


def test_acts_on_a_job_that_was_forgotten_are_still_there(anna: Control, filled: Filled, tickglass: Tickglass) -> None:
    anna.pause("letters", reason="moved")
    assert tickglass("forget", "letters", filled.url).exit_code == 0
    (only,) = fields(tickglass, "audit", filled.url, "--job", "letters")
    assert only["reason"] == "moved"


def test_control_characters_reach_no_terminal(anna: Control, filled: Filled, tickglass: Tickglass) -> None:
    Control(filled.store, by="\x1b[31mroot").pause("sync", reason="\x1b]0;title\x07")
    for command in ("orders", "audit"):
        assert "\x1b" not in tickglass(command, filled.url).stdout
    again = tickglass("pause", "sync", filled.url, "--reason", "\x1b]0;title\x07")
    assert "already" in again.stdout
    assert "\x1b" not in again.stdout
