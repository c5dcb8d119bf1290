"""Another program counts once its claims lie further apart than a deployment takes."""

from __future__ import annotations

from tickglass.sched.durations import SECOND
from tickglass.sched.policies.rivalry import DEPLOY_NS, Claim, Rivalry, owners_of_rivals, rivalry_in

HOUR = 3_600 * SECOND


def run(claimed_ns: int, declaration: str, owner: str = "other") -> Claim:
    return Claim(owner, claimed_ns, declaration)


def test_only_claims_with_another_declaration_since_we_have_the_job_count() -> None:
    runs = [run(1, "theirs"), run(5, "ours"), run(6, ""), run(7, "theirs", "a"), run(9, "theirs", "b")]
    assert rivalry_in(runs, "ours", 4) == Rivalry("b", 7, 9, 2)
    assert rivalry_in(runs[:3], "ours", 4) is None, "that program may have been stopped"


def test_two_versions_side_by_side_are_no_rivals_until_a_deployment_must_be_over() -> None:
    early, late = Rivalry("b", 10, 20), Rivalry("b", 10 + DEPLOY_NS - 1, 10 + DEPLOY_NS)
    assert not early.lasts
    assert not late.lasts
    assert late.since(early) == Rivalry("b", 10, 10 + DEPLOY_NS)
    assert late.since(early).lasts


def test_it_is_over_when_the_other_program_has_left_two_instants_out() -> None:
    often, hourly = Rivalry("b", 0, DEPLOY_NS, SECOND), Rivalry("b", 0, HOUR, HOUR)
    assert not often.is_over(2 * DEPLOY_NS)
    assert often.is_over(2 * DEPLOY_NS + 1)
    assert not hourly.is_over(3 * HOUR)
    assert hourly.is_over(3 * HOUR + 1)


def test_a_ledger_alone_shows_two_programs_that_claim_side_by_side() -> None:
    def alternating(until_ns: int) -> list[Claim]:
        owners = {"one": "a", "two": "b"}
        pairs = [(at_ns, name) for at_ns in range(0, until_ns, 60 * SECOND) for name in owners]
        return [run(at_ns + (name == "two"), name, owners[name]) for at_ns, name in pairs]

    assert owners_of_rivals(alternating(DEPLOY_NS)) == [], "a deployment"
    assert owners_of_rivals(alternating(DEPLOY_NS + 120 * SECOND)) == ["a", "b"]


def test_one_version_after_the_other_is_no_rivalry() -> None:
    runs = [run(number * HOUR, "one" if number < 5 else "two") for number in range(10)]
    assert owners_of_rivals(runs) == []
    assert owners_of_rivals([run(number * HOUR, "") for number in range(10)]) == []
