from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from kit.sidecar_views import EVERY_NS, GRACE_NS, SidecarRig

from tickglass import Control
from tickglass.cli.commands.why import why
from tickglass.cli.sidecar_client import Unreachable, fetch_view
from tickglass.sched.clock import SystemClock, instant_of
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.events import JobContested
from tickglass.sched.occurrence import OccurrenceEvent, Outcome, SkipReason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unit.cli.conftest import Filled, Serve, Tickglass

    from tickglass.telemetry.sidecar.view import View


@pytest.fixture
def rig() -> SidecarRig:
    return SidecarRig()


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Show instants as a machine in UTC does."""
    import time  # noqa: PLC0415 - for the zone only

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def skipped(rig: SidecarRig) -> None:
    """A run that goes on, and an instant that it overlaps."""
    scheduler = rig.scheduler()
    scheduler.start("nightly", "hourly")
    first = scheduler.occurrence("nightly")
    scheduler.begin(first)
    rig.clock.advance(4 * MS)
    scheduler.run_on(first, scheduler.lock("nightly", "nightly", first.run_id), fence=1)
    rig.clock.advance(EVERY_NS - 4 * MS)
    occurrence = scheduler.occurrence("nightly")
    occurrence.fire(OccurrenceEvent.FELL_DUE, next_due_ns=occurrence.due_ns + EVERY_NS)
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.OVERLAP)
    scheduler.turn()


def test_the_latest_occurrence_is_explained(rig: SidecarRig, serve: Serve, tickglass: Tickglass) -> None:
    skipped(rig)
    result = tickglass("why", "nightly", "--sidecar", serve(rig.view))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "nightly (billing) was due 2026-01-01 00:00:10.000+00:00, in 0.00 ms",
        "  skipped: its previous run, which started 00:00:00.004Z, was still running",
        f"    by host-1 · run {rig.job().recent[-1].run_id}",
        "  next due 2026-01-01 00:00:20.000+00:00, in 10.00 s",
    ]


@pytest.mark.parametrize(
    "instant", ["2026-01-01T00:00:07", "2026-01-01T00:00:07Z", "2026-01-01T01:00:00+01:00", "2026-01-01 00:00:00"]
)
def test_an_instant_picks_the_occurrence_due_then_or_last_before(
    instant: str, rig: SidecarRig, serve: Serve, tickglass: Tickglass
) -> None:
    skipped(rig)
    result = tickglass("why", "nightly", instant, "--sidecar", serve(rig.view), "--json")
    told = json.loads(result.stdout)
    (run,) = told["occurrences"]
    assert (run["state"], run["due_at"], told["job"]) == ("running", "2026-01-01T00:00:00.000000+00:00", "nightly")
    assert told["next_due_at"] == "2026-01-01T00:00:20.000000+00:00"


def test_an_instant_without_an_offset_is_this_machines(
    rig: SidecarRig, serve: Serve, tickglass: Tickglass, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time  # noqa: PLC0415 - for the zone only

    skipped(rig)
    url = serve(rig.view)
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    result = tickglass("why", "nightly", "2026-01-01T08:00:07", "--sidecar", url)
    assert "was due 2026-01-01 08:00:00.000+08:00" in result.stdout
    assert "the latest that is known by then, 7.00 s before the instant asked for" in result.stdout


def test_of_an_instant_too_long_ago_nothing_is_known(rig: SidecarRig, serve: Serve, tickglass: Tickglass) -> None:
    skipped(rig)
    url = serve(rig.view)
    old = tickglass("why", "nightly", "2025-01-01T00:00", "--sidecar", url)
    assert (old.exit_code, old.stdout) == (1, "")
    assert old.stderr.startswith(
        "nothing is known of an occurrence of nightly due by then; the oldest that is known was due 2026-01-01 00:00:00"
    )
    assert old.stderr.splitlines()[1:] == [
        "a sidecar knows the latest 40 of each job; its store may know older ones:",
        "    tickglass why nightly 2025-01-01T00:00 --store STORE_URL",
    ]
    rig.probe()
    assert tickglass("why", "nightly", "2025-01-01 00:00", "--sidecar", url).stderr.endswith(" --store STORE_URL\n"), (
        "the store that it reads does not know the job"
    )
    rig.register()
    rig.probe()
    assert tickglass("why", "nightly", "2025-01-01 00:00", "--sidecar", url).stderr.endswith(
        "    tickglass why nightly '2025-01-01 00:00' --store memory://\n"
    )
    never = tickglass("why", "hourly", "--sidecar", url)
    assert (never.exit_code, never.stdout) == (1, "")
    assert "nothing is known of an occurrence of hourly yet; it is due 2026-01-01 00:00:10.000" in never.stderr


def test_a_wrong_name_suggests_near_ones(rig: SidecarRig, serve: Serve, tickglass: Tickglass) -> None:
    skipped(rig)
    result = tickglass("why", "nightyl", "--sidecar", serve(rig.view))
    assert result.exit_code == 2
    assert result.stderr == "Error: there is no job of this name\n    nightyl\n  write: nightly\n"


def test_of_two_services_with_such_a_job_one_is_to_be_named(
    rig: SidecarRig, serve: Serve, tickglass: Tickglass
) -> None:
    skipped(rig)
    other = rig.scheduler("host-2")
    other.service = "shipping"
    other.start("nightly")
    url = serve(rig.view)
    result = tickglass("why", "nightly", "--sidecar", url)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        2,
        "  write: --service billing   or   --service shipping",
    )
    assert tickglass("why", "nightly", "--sidecar", url, "--service", "billing").exit_code == 0
    assert tickglass("why", "nightly", "--sidecar", url, "--service", "sales").exit_code == 2


@pytest.mark.parametrize("instant", ["yesterday", "02:30", "2026-13-01T00:00", "0001-01-01T00:00"])
def test_what_is_no_instant_is_refused(instant: str, tickglass: Tickglass) -> None:
    result = tickglass("why", "nightly", instant, "--sidecar", "http://127.0.0.1:1")
    assert (result.exit_code, "INSTANT is not an ISO 8601 instant" in result.stderr) == (2, True)


@pytest.mark.parametrize("url", ["localhost:9464", "ftp://localhost", "http://", "http://host:port", ""])
def test_what_is_no_url_is_refused(url: str, tickglass: Tickglass) -> None:
    result = tickglass("why", "nightly", "--sidecar", url)
    assert result.exit_code == 2
    assert "write: http://" in result.stderr


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://me:hunter2@localhost:9464", "http://me:***@localhost:9464"),
        ("me:hunter2@localhost:9464", "me:***@localhost:9464"),
        ("http://localhost:9464/?token=hunter2", "http://localhost:9464/?token=***"),
    ],
)
def test_a_url_with_a_password_is_refused_and_the_password_not_shown(url: str, seen: str, tickglass: Tickglass) -> None:
    for result in (tickglass("why", "nightly", "--sidecar", url), tickglass("watch", TICKGLASS_SIDECAR_URL=url)):
        assert result.exit_code == 2
        assert "hunter2" not in result.stderr
        assert seen in result.stderr
        assert "write: " in result.stderr


def test_a_wrong_url_of_the_environment_is_refused_by_its_name(tickglass: Tickglass) -> None:
    result = tickglass("why", "nightly", TICKGLASS_SIDECAR_URL="localhost:9464")
    assert result.exit_code == 2
    assert "    TICKGLASS_SIDECAR_URL=localhost:9464\n" in result.stderr
    assert "write: TICKGLASS_SIDECAR_URL=http://localhost:9464" in result.stderr


def test_a_sidecar_that_is_not_there_cannot_be_reached(free_port: int, tickglass: Tickglass) -> None:
    result = tickglass("why", "nightly", "--sidecar", f"http://127.0.0.1:{free_port}")
    assert result.exit_code == 3
    assert result.stderr.startswith(f"Error: no sidecar answers at http://127.0.0.1:{free_port}: ")


def test_a_token_is_sent_and_asked_for(rig: SidecarRig, serve: Serve, tickglass: Tickglass) -> None:
    skipped(rig)
    url = serve(rig.view, "secret")
    without = tickglass("why", "nightly", "--sidecar", url)
    assert (without.exit_code, "requires a token" in without.stderr) == (2, True)
    wrong = tickglass("why", "nightly", "--sidecar", url, "--token", "guess")
    assert (wrong.exit_code, "refused this token" in wrong.stderr) == (2, True)
    assert tickglass("why", "nightly", "--sidecar", url, TICKGLASS_TOKEN="secret").exit_code == 0


@pytest.mark.parametrize("token", ["secret\n", " secret\t"])
def test_a_token_may_come_from_a_file_with_its_line_end(
    rig: SidecarRig, serve: Serve, tickglass: Tickglass, token: str
) -> None:
    skipped(rig)
    url = serve(rig.view, "secret")
    assert tickglass("why", "nightly", "--sidecar", url, TICKGLASS_TOKEN=token).exit_code == 0
    assert tickglass("why", "nightly", "--sidecar", url, "--token", token).exit_code == 0


@pytest.mark.parametrize("token", ["t€", "two words", "a\nb", "a\x01b", "tökén"])
@pytest.mark.parametrize("command", [("why", "nightly"), ("watch",), ("sidecar", "--listen", "192.0.2.1:9464")])
def test_what_is_no_token_is_refused_and_not_shown(command: tuple[str, ...], token: str, tickglass: Tickglass) -> None:
    for where, result in (
        ("$TICKGLASS_TOKEN", tickglass(*command, TICKGLASS_TOKEN=token)),
        ("--token", tickglass(*command, "--token", token)),
    ):
        assert result.exit_code == 2
        assert f"the token in {where} holds more than printable ASCII without blanks" in result.stderr
        assert token not in result.output


@pytest.mark.parametrize("command", [("why", "nightly"), ("watch",), ("sidecar", "--listen", "192.0.2.1:9464")])
def test_a_token_of_blanks_is_none(command: tuple[str, ...], tickglass: Tickglass) -> None:
    assert "the token in $TICKGLASS_TOKEN is empty" in tickglass(*command, TICKGLASS_TOKEN="  ").stderr
    assert "the token in --token is empty" in tickglass(*command, "--token", "").stderr


def test_an_answer_that_is_no_view_is_said_so(rig: SidecarRig, serve: Serve) -> None:
    def fails() -> View:
        raise RuntimeError("no view")

    with pytest.raises(Unreachable, match="is no sidecar: 500"):
        fetch_view(serve(fails))
    with pytest.raises(Unreachable, match="is no sidecar: 404"):
        fetch_view(serve(rig.view) + "/elsewhere")


@pytest.fixture
def default_sidecar(monkeypatch: pytest.MonkeyPatch, free_port: int) -> str:
    """Have the default sidecar be where nobody answers; return its URL."""
    url = f"http://127.0.0.1:{free_port}"
    (option,) = (it for it in why.params if it.name == "sidecar_url")
    monkeypatch.setattr(option, "default", url)
    return url


@pytest.mark.parametrize("variable", [False, True])
def test_where_no_sidecar_answers_and_none_is_named_the_default_store_is_read(
    default_sidecar: str,
    filled: Filled,
    tickglass: Tickglass,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    variable: bool,
) -> None:
    filled.register("nightly")
    filled.settle(filled.claim("nightly"), "nightly", Outcome.FAILURE, detail="ValueError: no")
    url = "sqlite:///jobs.db"
    if variable:
        url = filled.url
        monkeypatch.setenv("TICKGLASS_STORE", url)
    else:
        monkeypatch.chdir(tmp_path)
    result = tickglass("why", "nightly")
    assert result.exit_code == 0
    assert "ValueError: no" in result.stdout
    assert result.stderr.startswith(f"note: no sidecar answers at {default_sidecar}")
    assert result.stderr.endswith(f"This is what {url} knows.\n")
    named = tickglass("why", "nightly", "--sidecar", default_sidecar)
    assert (named.exit_code, named.stdout) == (3, ""), "a sidecar that was named has to answer"


def test_where_there_is_neither_sidecar_nor_store_both_are_told(
    default_sidecar: str, tickglass: Tickglass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = tickglass("why", "nightly")
    assert (result.exit_code, result.stdout) == (3, "")
    assert f"no sidecar answers at {default_sidecar}" in result.stderr
    result = tickglass("why", "nightly", TICKGLASS_STORE="sqlite:///none.db")
    assert result.exit_code == 2
    assert "TICKGLASS_STORE=sqlite:///none.db" in result.stderr


def test_a_store_alone_can_say_that_nobody_came(filled: Filled, tickglass: Tickglass) -> None:
    due_ns = SystemClock().wall_ns() - 120 * SECOND
    filled.register("nightly", next_due_ns=due_ns, trigger='every("1h")')
    result = tickglass("why", "nightly", "--store", filled.url)
    assert result.exit_code == 0
    assert "overdue: no instance claimed it: it was due 2m00s ago, its grace of 1s has passed" in result.stdout
    assert result.stdout.startswith(f"nightly (billing) was due {instant_of(due_ns).isoformat(sep=' ')[:19]}")


def test_what_operators_asked_for_is_told_with_the_reason(filled: Filled, tickglass: Tickglass) -> None:
    filled.register("nightly", next_due_ns=None)
    filled.settle(filled.claim("nightly"), "nightly", "success")
    Control(filled.store, by="anna").pause("nightly", reason="the disk is full")
    result = tickglass("why", "nightly", "--store", filled.url)
    assert "  paused by anna: the disk is full (act 1)" in result.stdout.splitlines()
    told = json.loads(tickglass("why", "nightly", "--store", filled.url, "--json").stdout)
    assert [(order["kind"], order["number"], order["by"]) for order in told["orders"]] == [("pause", 1, "anna")]


def test_a_store_alone_can_say_how_a_run_failed(filled: Filled, tickglass: Tickglass) -> None:
    filled.register("nightly", next_due_ns=None)
    filled.settle(filled.claim("nightly"), "nightly", "failure", detail="ValueError: no")
    result = tickglass("why", "nightly", "--store", filled.url, "--json")
    (run,) = json.loads(result.stdout)["occurrences"]
    assert (run["outcome"], run["error"]) == ("failure", "ValueError: no")


def test_a_store_is_asked_for_an_instant_however_long_ago(filled: Filled, tickglass: Tickglass) -> None:
    filled.register("nightly", next_due_ns=None)
    for number in range(100):
        run_id = f"{number:032x}"
        due_ns = 1_767_225_600_100 * MS + number * SECOND
        lease = filled.claim("nightly", due_ns=due_ns, run_id=run_id)
        filled.settle(lease, "nightly", "failure", due_ns=due_ns, run_id=run_id, detail=f"ValueError: {number}")
    told = tickglass("why", "nightly", "2026-01-01T00:00:07.500", "--store", filled.url)
    assert (told.exit_code, told.stderr) == (0, "")
    assert told.stdout.startswith("nightly (billing) was due 2026-01-01 00:00:07.100+00:00")
    assert "ValueError: 7" in told.stdout
    (latest,) = json.loads(tickglass("why", "nightly", "--store", filled.url, "--json").stdout)["occurrences"]
    assert latest["error"] == "ValueError: 99"
    before = tickglass("why", "nightly", "2025-12-31T00:00", "--store", filled.url)
    assert (before.exit_code, before.stdout) == (1, "")
    (line,) = before.stderr.splitlines()
    assert "the oldest that is known was due 2026-01-01 00:00:00.100+00:00" in line


def test_a_store_that_is_not_there_is_wrong(tickglass: Tickglass) -> None:
    assert tickglass("why", "nightly", "--store", "sqlite:////nowhere/jobs.db").exit_code == 2
    assert tickglass("why", "nightly", "--store", "redis://127.0.0.1:1/0").exit_code == 3


def test_a_note_says_what_is_not_known(rig: SidecarRig, serve: Serve, tickglass: Tickglass) -> None:
    skipped(rig)
    rig.clock.advance(GRACE_NS + SECOND)
    result = tickglass("why", "nightly", "--sidecar", serve(rig.view))
    assert result.stderr == "note: the timeline of host-1 does not tick\n"
    assert os.environ["TZ"] == "UTC"


def test_of_two_services_in_one_store_each_job_has_its_own_reasons(filled: Filled, tickglass: Tickglass) -> None:
    for number, (service, outcome) in enumerate((("billing", "success"), ("mail", "failure"))):
        filled.register("sync", service=service)
        run_id = str(number) * 32
        lease = filled.claim("sync", run_id=run_id, service=service)
        filled.settle(lease, "sync", outcome, run_id=run_id, detail="ValueError: no", service=service)
    ambiguous = tickglass("why", "sync", "--store", filled.url)
    assert ambiguous.exit_code == 2
    assert "--service billing" in ambiguous.stderr
    for service, outcome in (("billing", "success"), ("mail", "failure")):
        answer = tickglass("why", "sync", "--store", filled.url, "--service", service, "--json")
        found = json.loads(answer.stdout)["occurrences"]
        assert [(it["service"], it["outcome"]) for it in found] == [(service, outcome)]


def test_a_job_in_two_programs_is_told_with_the_reason(rig: SidecarRig, serve: Serve, tickglass: Tickglass) -> None:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    occurrence = scheduler.occurrence("nightly")
    scheduler.begin(occurrence)
    scheduler.history.record(
        JobContested(job="nightly", owner="host-1", service="billing", claimant="host-9", since_wall_ns=1, wall_ns=2)
    )
    url = serve(rig.view)
    assert "nightly is in two programs: host-9 claims" in tickglass("why", "nightly", "--sidecar", url).stdout
    assert (
        "is in two programs" in json.loads(tickglass("why", "nightly", "--sidecar", url, "--json").stdout)["contested"]
    )
