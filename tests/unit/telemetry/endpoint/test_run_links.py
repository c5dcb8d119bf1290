"""From a run to its trace and its lines in the log."""

from __future__ import annotations

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import ConfigError
from tickglass.sched.ports import RunRecord
from tickglass.telemetry.endpoint.run_links import RunLink, parse_run_link

RUN = RunRecord(
    job="a/b c?",
    due_ns=0,
    attempt=1,
    owner="host-1",
    service="billing",
    run_id="f00d",
    resource="r",
    fence=1,
    claimed_wall_ns=1_000 * SECOND,
    started_wall_ns=None,
    ended_wall_ns=1_010 * SECOND,
    outcome="success",
    detail="",
    lateness_ns=None,
)


def test_fields_are_filled_in_and_cannot_become_more_than_a_value() -> None:
    link = parse_run_link("Trace=https://tempo.example/{service}/{job}?id={run_id}&{owner}")
    assert (link.name, link.to(RUN, 0)) == ("Trace", "https://tempo.example/billing/a%2Fb%20c%3F?id=f00d&host-1")


def test_a_log_query_spans_the_run_and_a_minute_around_it() -> None:
    link = parse_run_link("Logs=http://logs.example/?from={from_ms}&to={to_ms}")
    assert link.to(RUN, 0) == "http://logs.example/?from=940000&to=1070000"


def test_a_link_without_fields_is_one() -> None:
    assert parse_run_link(" Board =https://g.example") == RunLink("Board", "https://g.example")


@pytest.mark.parametrize(
    "text", ["", "Trace", "=https://x", "Trace=javascript:alert(1)", "Trace=/trace", "T=https://", "T=http://["]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="a link is a name and a URL"):
        parse_run_link(text)


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"there is no field \{trace\} of a run"):
        parse_run_link("Trace=https://tempo.example/{trace}")
