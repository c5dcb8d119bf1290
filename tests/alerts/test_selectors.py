"""A selector reaches every series of every rule; what it accepts, Prometheus does, and the rest is refused."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import promql_parser
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kit import promtool
from kit.expressions import selectors
from kit.servers import find_server

from tickglass.alerts import Links, RuleScope, files, groups
from tickglass.alerts.export import OPERATOR, RULES
from tickglass.alerts.scheduler import scheduler
from tickglass.sched.errors import ConfigError
from tickglass.telemetry import catalogue

if TYPE_CHECKING:
    from pathlib import Path

# Pieces of values and of regular expressions, valid and not, as an operator would type them within quotes.
PIECES: Final = [
    *(
        "a",
        "eu-",
        "é",
        "$",
        "^",
        "{{ x }}",
        "{{",
        "}}",
        "`",
        "'",
        "\\'",
        '"',
        '\\"',
        "\u00a0",
        "\ud800",
        " ",
        "\t",
        "#",
        "|",
        ".*",
    ),
    *(
        "\\\\",
        "\\\\.",
        "\\\\d",
        "\\\\b",
        "\\\\1",
        "\\\\pL",
        "\\\\Q",
        "\\q",
        "\\n",
        "\\",
        "(",
        ")",
        "(?:",
        "(?i)",
        "(?i:",
        "(?=",
        "(?P<n>",
    ),
    *(
        "(?<n>",
        "(?#",
        "(?s)",
        "[",
        "]",
        "[^a]",
        "[a-z]",
        "[z-a]",
        "[-a-]",
        "[[:alpha:]]",
        "[\\\\d-z]",
        "[&&]",
        "[]",
        "-",
        "*",
        "+",
    ),
    *("?", "*+", "{2}", "{2,1}", "{,3}", "{3,}", "{999}", "{1001}", "{", "}"),
]
NAMES: Final = ["a", "job", "instance", "namespace", "by", "and", "inf", "é", "a:b", "__name__", "le", "service", "0a"]
VALUES: Final = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    st.text(max_size=4),
    st.sampled_from(["eu-.*", "(?i)(eu|us)-[1-9]{1,2}", "", "[^a-z0-9]+?x*", "((a{9}){9}){9}", "((a{10}){10}){11}"]),
)
MATCHER: Final = st.builds('{}{}"{}"'.format, st.sampled_from(NAMES), st.sampled_from(["=", "!=", "=~", "!~"]), VALUES)
ENOUGH: Final = 20
OURS: Final = {label.name for metric in catalogue.metrics() for label in metric.labels}


def test_a_selector_reaches_every_series_and_a_fleet_every_alert(tmp_path: Path) -> None:
    scope = RuleScope(fleet="prod-eu", selector='namespace="prod", cluster=~"eu-.*"')
    documents = [rule for group in groups(scope) for rule in group.document(scope.fleet, Links())["rules"]]
    for rule in documents:
        assert rule["labels"]["fleet"] == "prod-eu"
        for selector in selectors(promql_parser.parse(rule["expr"])):
            wanted = {"fleet"} if ":" in str(selector.name) else {"namespace", "cluster"}
            assert wanted <= {matcher.name for matcher in selector.matchers.matchers}, selector
    for name, text in files(scope, Links()).items():
        (tmp_path / name).write_text(text)
    check_rules(tmp_path / RULES)
    assert yaml.safe_load((tmp_path / OPERATOR).read_text())["metadata"]["name"] == "tickglass-prod-eu"


def test_what_is_accepted_is_accepted_by_prometheus(tmp_path: Path) -> None:
    accepted: list[RuleScope] = []

    @settings(max_examples=200, phases=[Phase.generate], database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(MATCHER, min_size=1, max_size=2).map(",".join))
    def collect(selector: str) -> None:
        with suppress(ConfigError):
            accepted.append(RuleScope(selector=selector))

    collect()
    assert len({scope.selector for scope in accepted}) > ENOUGH
    written = []
    for number, scope in enumerate(accepted):
        rules = scheduler(scope).document(scope.fleet, Links())  # `up` and others; all are written alike
        (tmp_path / f"{number}.yml").write_text(json.dumps({"groups": [rules]}, ensure_ascii=False))  # JSON is YAML
        written.append(tmp_path / f"{number}.yml")
    check_rules(*written)


def test_what_looks_like_a_template_stays_as_it_is(tmp_path: Path) -> None:
    scope = RuleScope(selector='a="{{ x }}",b=~"`\'\\"\\\\.é"')
    (rule,) = (one for one in promtool.rule_documents(scope).values() if one.get("alert") == "TickglassSchedulerDown")
    case = {
        "interval": "1m",
        "input_series": [{"series": r"""up{job="tickglass",a="{{ x }}",b="`'\".é"}""", "values": "0x10"}],
        "alert_rule_test": [
            {
                "eval_time": "5m",
                "alertname": rule["alert"],
                "exp_alerts": [
                    {
                        "exp_labels": rule["labels"],
                        "exp_annotations": {
                            **rule["annotations"],
                            "description": f"None of the targets {scope.up()} is up.",
                            "dashboard_url": "https://grafana.example.com/d/tickglass-overview?from=-10500000&to=now",
                        },
                    }
                ],
            }
        ],
    }
    assert promtool.verdict(tmp_path, [([rule], [case])]) == ""
    (tmp_path / RULES).write_text(files(scope, Links())[RULES])
    check_rules(tmp_path / RULES)


@pytest.mark.parametrize(
    ("selector", "up"),
    [
        ("", 'up{job=~"tickglass.*"}'),
        ('namespace="prod"', 'up{job=~"tickglass.*",namespace="prod"}'),
        ('job="billing"', 'up{job="billing"}'),
        ('a="b", job=~"billing.*"', 'up{a="b",job=~"billing.*"}'),
        ('job!="tickglass-test"', 'up{job=~"tickglass.*",job!="tickglass-test"}'),
        ('job_group="a"', 'up{job=~"tickglass.*",job_group="a"}'),
    ],
)
def test_targets_are_known_by_their_scrape_job(selector: str, up: str) -> None:
    assert RuleScope(selector=selector).up() == up


@pytest.mark.parametrize("label", sorted({"le", "__name__", *OURS}))
def test_a_label_that_the_targets_do_not_have_is_refused(label: str) -> None:
    with pytest.raises(ConfigError, match="labels of targets") as refused:
        RuleScope(selector=f'namespace="prod", {label}="x"')
    assert refused.value.span == (18, 18 + len(label))


@pytest.mark.parametrize(
    "selector", ["prod", "a=b", 'a="b" c="d"', 'a="b",,', 'a=="b"', '{a="b"}', 'a="b\nc"', 'a="', 'é="b"']
)
def test_a_selector_that_is_none_is_refused(selector: str) -> None:
    with pytest.raises(ConfigError, match="list of label matchers"):
        RuleScope(selector=selector)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (r"\q", "written twice"),
        (r"eu\.1", "written twice"),
        (r"\\\d", "written twice"),
        ("a\tb", "cannot be seen"),
        ("a\u00a0b", "cannot be seen"),
        ("\udcff", "cannot be seen"),
        ("[", "may not read"),
        ("(a", "may not read"),
        ("*a", "may not read"),
        ("[b-a]", "may not read"),
        ("a{2,1}", "may not read"),
        (r"(a)\\1", "may not read"),
        ("(?=a)b", "may not read"),
        ("a*+", "may not read"),
        ("(a{40}){40}", "may not read"),
    ],
)
def test_a_value_that_prometheus_may_not_read_is_refused(value: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        RuleScope(selector=f'a=~"{value}"')
    assert refused.value.span == (4, 4 + len(value))


def test_what_is_no_regular_expression_need_not_be_one() -> None:
    assert RuleScope(selector='a="[",b!="*"').up() == 'up{job=~"tickglass.*",a="[",b!="*"}'


def check_rules(*paths: Path) -> None:
    command = [find_server("promtool"), "check", "rules", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
