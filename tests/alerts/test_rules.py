"""The rules hold what they promise: each fires and is silent when it should, and names only what exists."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import promql_parser
import pytest
import yaml
from kit import promtool
from kit.expressions import EXPRESSIONS, missing_at_compact, together_at_compact, unknown
from kit.servers import find_server
from promql_parser import AggregateExpr

from tickglass.alerts import INHIBITIONS, Links, RuleScope, Severity, alerts, files
from tickglass.alerts.__main__ import main
from tickglass.alerts.export import ALERTMANAGER, OPERATOR, RULES
from tickglass.sched.engine.timing.clock_skew import MAX_SKEW_NS
from tickglass.sched.errors import ConfigError
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.selector import aggregate

if TYPE_CHECKING:
    from pathlib import Path

    from tickglass.telemetry.metric import Metric

ALL = {alert.name: alert for alert in alerts()}


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """All files, as the repository has them."""
    for name, text in files(RuleScope(), Links()).items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_every_alert_fires_and_is_silent_as_its_cases_say(tmp_path: Path) -> None:
    documents = promtool.rule_documents()
    trials = [
        ([*promtool.records_of(name), documents[name]], [test]) for name in ALL for test in promtool.tests_of(name)
    ]
    assert promtool.verdict(tmp_path, trials) == ""


def test_every_alert_has_cases_in_which_it_fires_and_in_which_it_is_silent() -> None:
    cases = promtool.cases()
    assert cases.keys() == ALL.keys()
    for name, alert in ALL.items():
        assert any(case.fires for case in cases[name]), name
        assert any(case.silent for case in cases[name]) or alert.severity is Severity.NONE, name


def test_promtool_finds_nothing_to_complain_about(prepared: Path) -> None:
    command = [find_server("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(prepared / RULES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(EXPRESSIONS)} rules found" in done.stdout


def test_alertmanager_takes_the_example(prepared: Path) -> None:
    command = [find_server("amtool"), "check-config", str(prepared / ALERTMANAGER)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(INHIBITIONS)} inhibit rules" in done.stdout


def test_the_operators_manifest_has_the_same_rules(prepared: Path) -> None:
    manifest = yaml.safe_load((prepared / OPERATOR).read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert manifest["spec"] == yaml.safe_load((prepared / RULES).read_text())


def test_what_the_repository_keeps_is_up_to_date(root: Path, tmp_path: Path) -> None:
    main([str(tmp_path / "generated"), str(tmp_path / "alerts.md")])
    kept = {file.name: file.read_text() for file in (root / "alerts/generated").iterdir()}
    assert kept == {file.name: file.read_text() for file in (tmp_path / "generated").iterdir()}, "run: make generate"
    assert (root / "docs/alerts.md").read_text() == (tmp_path / "alerts.md").read_text(), "run: make generate"


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_rule_names_only_what_is_exported(name: str) -> None:
    assert unknown(EXPRESSIONS[name]) == []


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_rule_reads_what_is_there_by_name_at_compact_detail_too(name: str) -> None:
    assert missing_at_compact(EXPRESSIONS[name]) == []
    assert together_at_compact(EXPRESSIONS[name]) == []


def test_what_compact_detail_does_not_have_is_found() -> None:
    assert missing_at_compact("max by (job_name) (tickglass_job_overdue_runs)") == ["tickglass_job_overdue_runs"]
    lateness = "tickglass_job_start_lateness_seconds_bucket"
    assert missing_at_compact(f'sum(rate({lateness}{{le="10.0"}}[5m]))') == [f'{lateness}{{le="10.0"}}']
    assert missing_at_compact(f'sum(rate({lateness}{{le="0.1"}}[5m]))') == []
    skips = "tickglass_job_skips_total"
    assert together_at_compact(f'sum(rate({skips}{{reason="overlap"}}[5m]))') == []
    assert together_at_compact(f'sum(rate({skips}{{reason=~"overlap|skew"}}[5m]))') == [
        f'{skips}{{reason=~"overlap|skew"}}'
    ]
    assert together_at_compact(f"sum(rate({skips}[5m]))") == [skips]


def test_a_series_that_is_not_exported_is_found() -> None:
    for expr in (
        "rate(tickglass_job_due[5m])",
        'up + tickglass_job_running{pool="a"}',
        "tickglass_pool_queue_wait_seconds",
    ):
        assert len(unknown(expr)) == 1, expr


@pytest.mark.parametrize(
    ("metric", "part", "matchers", "word"),
    [
        (catalogue.JOB_RUNNING, "", {"pool": "a"}, "no label pool"),
        (catalogue.JOB_OUTCOMES, "", {"outcome": "won"}, "never"),
        (catalogue.JOB_OUTCOMES, "", {"outcome": "=~failure|won"}, "never"),
        (catalogue.JOB_OUTCOMES, "count", {}, "no part"),
        (catalogue.JOB_LATENESS, "", {}, "no part"),
    ],
)
def test_a_selector_of_what_the_catalogue_does_not_have_is_impossible(
    metric: Metric,
    part: str,
    matchers: dict[str, str],
    word: str,
) -> None:
    with pytest.raises(ValueError, match=word):
        RuleScope().series(metric, part, **matchers)


def test_an_aggregation_by_a_label_that_is_not_there_is_impossible() -> None:
    with pytest.raises(ValueError, match="no label pool"):
        RuleScope().max_by(catalogue.JOB_RUNNING, "pool")


def test_everything_is_read_through_an_aggregation_so_that_a_sidecars_labels_do_no_harm() -> None:
    for name, alert in ALL.items():
        bare = re.sub(r"(?:by|on) \([^)]*\)", "", alert.expr)
        assert re.match(
            r"^[\s(]*(?:(?:max|min|sum|group|histogram_quantile|vector)\b|absent_over_time|(?:sum_over_time\()?service_job_name:)",
            bare,
        ), name
        fired = {
            label
            for case in promtool.cases()[name]
            for at in case.fires.values()
            for one in at
            for label in one["labels"]
        }
        assert fired <= {*alert.labels, *alert.static_labels, "severity"}, name


def test_an_inhibition_compares_only_labels_that_both_sides_are_proved_to_carry() -> None:
    scope = RuleScope()
    carried = {
        name: [{*scope.keep, "fleet", *promtool.TARGET, *one["labels"]} for at in firing for one in at]
        for name, firing in fired().items()
    }
    for inhibition in INHIBITIONS:
        for name in (inhibition.source, *inhibition.targets):
            assert all(set(inhibition.equal(scope)) <= labels for labels in carried[name]), (inhibition, name)
            assert {*scope.keep, *inhibition.same} <= set(ALL[name].labels), (inhibition, name)
        assert inhibition.source not in inhibition.targets


def test_every_alert_of_a_target_keeps_what_tells_its_cluster_and_namespace() -> None:
    for name, alert in ALL.items():
        kept = {label for label in alert.labels if label in RuleScope().keep}
        assert kept == (set() if name in ("TickglassNoTargets", "TickglassWatchdog") else {"cluster", "namespace"}), (
            name
        )


def test_a_cause_fires_at_least_as_soon_as_what_it_inhibits() -> None:
    """When which conditions come true is tried on recorded histories; here only that no symptom waits less."""
    for inhibition in INHIBITIONS:
        if inhibition.is_cause:
            for target in inhibition.targets:
                assert seconds(ALL[target].pending) >= seconds(ALL[inhibition.source].pending), (inhibition, target)


def test_no_rule_compares_the_time_with_what_was_true_at_the_scrape_but_for_what_is_gone() -> None:
    reading_time = {name for name, expr in EXPRESSIONS.items() if "time()" in expr}
    assert reading_time == {"TickglassJobMissedRun", "TickglassReplicaGone"}
    missed = ALL["TickglassJobMissedRun"].expr
    assert missed.index("time()") > missed.index("or on"), "only for a job of which no living target tells"


def test_a_link_is_absolute_or_absent() -> None:
    (bare,) = (rule for rule in alerts() if rule.name == "TickglassJobFailing")
    assert bare.document("f", Links())["annotations"].keys() == {"summary", "description"}
    linked = bare.document("f", Links(dashboards="https://g.example.com"))["annotations"]["dashboard_url"]
    assert linked.startswith(
        "https://g.example.com/d/tickglass-jobs?var-service={{ $labels.service | urlquery }}&var-job"
    )
    assert "&from={{" in linked
    assert linked.endswith("&to=now")


def fired() -> dict[str, list[list[promtool.Document]]]:
    """Return what the cases say that fires, by alert."""
    return {name: [at for case in found for at in case.fires.values()] for name, found in promtool.cases().items()}


def seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def test_thresholds_that_are_said_elsewhere_too_agree() -> None:
    assert thresholds.CLOCK_OFFSET_S * 1e9 == MAX_SKEW_NS
    assert thresholds.ON_TIME_S in catalogue.JOB_LATENESS.buckets
    assert thresholds.WAIT_P95_S in catalogue.LOCK_WAIT.buckets


@pytest.mark.parametrize("url", ["grafana", "ftp://x", "http://", "http://a b", "http://a?b=c", "//host", "http://[x"])
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="dashboard base URL"):
        Links(dashboards=url)


@pytest.mark.parametrize("url", ["runbooks", "ftp://x", "http://", "a b", "http://a#b", "//host/x", "{{ x }}"])
def test_a_runbook_base_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="runbook base URL"):
        Links(runbooks=url)


def test_a_fleet_that_is_no_name_and_a_bound_that_is_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="a fleet is named"):
        RuleScope(fleet='x"}')
    with pytest.raises(ConfigError, match=r"(?s)0\.008.*0\.1"):
        RuleScope(on_time_s=0.2)


@pytest.mark.parametrize("keep", [("a-b",), ("job_name",), ("service",), ("le",), ("a", "a"), ("",)])
def test_a_label_that_cannot_be_kept_is_refused(keep: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="labels that are kept"):
        RuleScope(keep=keep)


def test_a_long_aggregation_is_written_over_several_lines() -> None:
    assert aggregate("sum", ("a",), "x") == "sum by (a) (x)"
    assert aggregate("sum", ("a",), "x\ny") == "sum by (a) (\n  x\n  y\n)"
    assert isinstance(promql_parser.parse(aggregate("sum", ("a",), "x" * 200)), AggregateExpr)


def test_using_tickglass_does_not_load_the_rules() -> None:
    code = "import sys, tickglass, tickglass.cli; sys.exit(bool({'yaml', 'tickglass.alerts'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)
