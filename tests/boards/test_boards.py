"""The generated boards: up to date, as Grafana's schemas have them, and within the rules of a good board."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jsonschema
import promql_parser
import pytest
import yaml
from boards.reading import (
    BUILT_IN,
    GENERATED,
    ROOT,
    UIDS,
    asked,
    generated,
    interpolated,
    metrics_in,
    nodes,
    panels,
    parsed,
    selectors_outside,
)
from kit import promtool
from kit.expressions import missing_at_compact

from tickglass.dashboards import BoardScope, boards
from tickglass.dashboards.export import main
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.metric import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMAS: Final = Path(__file__).parent / "grafana-schema"
KINDS: Final = {  # the options of a panel are checked by these
    "heatmap": "heatmap",
    "stat": "stat",
    "state-timeline": "statetimeline",
    "status-history": "statushistory",
    "table": "table",
    "timeseries": "timeseries",
}
PROMETHEUS_ANNOTATION: Final = {"titleFormat", "textFormat", "tagKeys", "useValueForTime"}  # the plugin's own
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
RATES: Final = {"rate", "increase"}
ELSEWHERE: Final = {  # series that the catalogue does not declare
    "ALERTS": "Prometheus's own, of rules that fire",
    "up": "Prometheus's own",
    "scrape_duration_seconds": "Prometheus's own",
    "scrape_samples_scraped": "Prometheus's own",
    "process_cpu_seconds_total": "prometheus_client's, of every process",
    "process_resident_memory_bytes": "prometheus_client's, of every process",
}
NO_RATE: Final = {"Unaccounted for": "an identity of counters holds at every scrape; of their rates it would not"}
NEITHER_SHOWN_NOR_ALERTED: Final = {  # metrics that are on no board and in no rule, and why
    "distributed_lock_last_renewal_timestamp_seconds": "the boards show distributed_lock_unrenewed_seconds instead",
    "distributed_lock_acquired_timestamp_seconds": "the boards compute it from distributed_lock_held_seconds",
    "distributed_lock_lease_expiry_timestamp_seconds": "the boards show what distributed_lock_unrenewed_seconds leaves",
    "distributed_lock_fencing_token": "it is looked up for one lock: `tickglass locks`",
    "tickglass_control_version": "the boards mark each act; this number finds it in `tickglass audit`",
    "tickglass_job_contested_since_timestamp_seconds": "the boards count such jobs, and `tickglass why` names them",
    "tickglass_job_last_completion_timestamp_seconds": "the boards show the last success, and what came after it",
    "tickglass_job_overdue_runs": "the boards show the age of the oldest run as a share of the timeout",
}


@pytest.fixture(params=UIDS)
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    return generated(request.param)


def schema(name: str) -> jsonschema.protocols.Validator:
    """Return a validator; one for options asks for none: what is left out is Grafana's default."""
    text = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    if name != "Dashboard":
        for definition in text["definitions"].values():
            definition.pop("required", None)
    return jsonschema.Draft7Validator(text)


def mistakes(validator: jsonschema.protocols.Validator, instance: dict[str, Any], where: str) -> list[str]:
    return [f"{where}: {error.json_path}: {error.message}" for error in validator.iter_errors(instance)]


def test_what_is_checked_in_is_what_the_code_writes(tmp_path: Path) -> None:
    main([str(tmp_path)])
    for name in [*(f"dashboards/generated/{uid}.json" for uid in UIDS), "docs/dashboards.md"]:
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), f"{name}: run make generate"
    assert sorted(file.name for file in GENERATED.iterdir()) == sorted(f"{uid}.json" for uid in UIDS)


def test_a_board_is_as_grafanas_schema_has_it(board: dict[str, Any]) -> None:
    for annotation in board["annotations"]["list"]:
        target = annotation.pop("target")
        assert target.keys() == {"expr", "refId", "legendFormat"}
        for key in PROMETHEUS_ANNOTATION:
            annotation.pop(key)
    assert mistakes(schema("Dashboard"), board, board["uid"]) == []


def test_the_options_of_each_panel_are_as_grafanas_schemas_have_them(board: dict[str, Any]) -> None:
    for panel in panels(board):
        kind, where = KINDS[panel["type"]], f"{board['uid']}, {panel['title']}"
        assert mistakes(schema(f"{kind}.Options"), panel["options"], where) == []
        custom = panel["fieldConfig"]["defaults"]["custom"]
        if kind == "stat":
            assert custom == {}
        else:
            assert mistakes(schema(f"{kind}.FieldConfig"), custom, where) == []


def test_a_board_is_one_that_others_can_use(board: dict[str, Any]) -> None:
    assert (board["editable"], board["schemaVersion"], board["graphTooltip"]) == (False, 42, 1)
    assert board["uid"] in UIDS
    assert board["description"].endswith("?")
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == (
        "dashboards",
        ["tickglass"],
        True,
        True,
    )
    assert board["tags"] == ["tickglass"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


def nulls(node: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401 - any JSON
    if isinstance(node, dict):
        for key, value in node.items():
            yield from nulls(value, f"{path}.{key}")
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from nulls(value, f"{path}[{place}]")
    elif node is None:
        yield path


def test_nothing_is_null_but_the_bottom_of_thresholds(board: dict[str, Any]) -> None:
    assert [path for path in nulls(board) if not path.endswith(".steps[0].value")] == []


def test_variables_are_reloaded_with_the_time_and_take_several_values(board: dict[str, Any]) -> None:
    source, *others = board["templating"]["list"]
    assert (source["name"], source["type"], source["query"], source["label"]) == (
        "datasource", "datasource", "prometheus", "Data source",
    )  # fmt: skip
    assert [variable["name"] for variable in others] == ["service", "instance", "job_name", "resource"]
    for variable in others:
        assert (variable["refresh"], variable["multi"], variable["includeAll"]) == (2, True, True)
        assert variable["datasource"] == SOURCE


def test_every_panel_says_what_it_is(board: dict[str, Any]) -> None:
    for panel in panels(board):
        where, fields = f"{board['uid']}, {panel['title']}", panel["fieldConfig"]["defaults"]
        assert panel["title"], where
        assert len(panel["description"]) > 40, where
        assert fields["unit"], where
        assert fields["noValue"], where
        assert fields["thresholds"]["steps"], where
        assert panel["datasource"] == SOURCE, where
        assert panel["targets"], where
        assert {str(target["datasource"]) for target in panel["targets"]} == {str(SOURCE)}, where


def test_panels_do_not_overlap(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_link_leads_to_a_board_and_keeps_what_is_picked(board: dict[str, Any]) -> None:
    for panel in panels(board):
        properties = [each for override in panel["fieldConfig"]["overrides"] for each in override["properties"]]
        links = [*panel["fieldConfig"]["defaults"].get("links", [])]
        links += [link for each in properties if each["id"] == "links" for link in each["value"]]
        for link in links:
            match = re.fullmatch(r"/d/([\w-]+)/\1\?(.*)", link["url"])
            assert match, link
            assert match[1] in UIDS, link
            picked = set(re.findall(r"\$\{(\w+):queryparam}|var-(\w+)=", match[2]))
            assert {a or b for a, b in picked} == {"datasource", "service", "instance", "job_name", "resource"}, link
            assert "${__url_time_range}" in match[2], link
            for label in re.findall(r"__field\.labels\.(\w+)", match[2]):
                assert all(label in target["legendFormat"] for target in panel["targets"]), (panel["title"], label)


def test_every_query_reads_only_what_there_is_and_only_what_is_picked(board: dict[str, Any]) -> None:
    names = {
        f"{metric.name}{part}"
        for metric in catalogue.metrics()
        for part in (("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",))
    }
    for query in asked(board):
        for node in nodes(parsed(query.expr)):
            if isinstance(node, promql_parser.VectorSelector):
                assert node.name in names | ELSEWHERE.keys(), query.where
                matched = {matcher.name: matcher.value for matcher in node.matchers.matchers}
                if node.name != "ALERTS":
                    assert (matched["instance"], matched["service"]) == ("$instance", "$service|"), query.where


def test_counters_are_read_through_a_rate_over_a_time_that_fits(board: dict[str, Any]) -> None:
    for query in asked(board):
        tree = parsed(query.expr)
        for node in nodes(tree):
            if isinstance(node, promql_parser.Call) and node.func.name in RATES:
                assert isinstance(node.args[0], promql_parser.MatrixSelector), query.where
        if query.panel.get("title") not in NO_RATE:
            bare = [
                name
                for name in selectors_outside(tree, promql_parser.MatrixSelector)
                if re.search("_(total|bucket|count|sum)$", name)
            ]
            assert bare == [], query.where
        for window in re.findall(r"\[(.*?)]", query.expr):
            fits = {"$__rate_interval"} | ({"$__range"} if query.instant else set())
            assert window in fits | ({"10m"} if "annotation" in query.where else set()), query.where


def test_everything_is_aggregated_so_that_it_does_not_matter_who_reports_it(board: dict[str, Any]) -> None:
    for query in asked(board):
        assert selectors_outside(parsed(query.expr), promql_parser.AggregateExpr) == [], query.where


def test_legends_use_labels_that_the_query_leaves(board: dict[str, Any]) -> None:
    for query in asked(board):
        left = {
            label
            for node in nodes(parsed(query.expr))
            if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None
            for label in node.modifier.labels
        }
        assert set(re.findall(r"{{(\w+)}}", query.legend)) <= left, query.where


def test_every_metric_is_on_a_board_or_in_a_rule_or_excused() -> None:
    read = {name for uid in UIDS for query in asked(generated(uid)) for name in metrics_in(query.expr)}
    for file in (ROOT / "alerts" / "generated").glob("*.yml"):
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            for group in document.get("groups", []):
                for rule in group["rules"]:
                    read |= metrics_in(rule["expr"])
    used = {name for metric in catalogue.metrics() for name in read if name.startswith(metric.name)}
    missing = {metric.name for metric in catalogue.metrics() if not any(name.startswith(metric.name) for name in used)}
    assert missing == NEITHER_SHOWN_NOR_ALERTED.keys()


def test_every_metric_that_a_board_reads_is_there_at_compact_detail_too(board: dict[str, Any]) -> None:
    for query in asked(board):
        assert missing_at_compact(interpolated(query.expr, BUILT_IN)) == [], query.where


def test_a_board_turns_red_where_an_alert_fires() -> None:
    steps = {
        panel.title: [step.value for step in panel.steps] for board in boards(BoardScope()) for panel in board.panels()
    }
    assert thresholds.WAIT_P95_S in steps["How long a wait takes"]
    assert thresholds.STORE_ERROR_SHARE in steps["Calls that fail"]
    assert thresholds.RENEWAL_AGE_OF_TTL in steps["Since the last renewal"]
    assert thresholds.POOL_BUSY_SHARE in steps["Workers in use"]
    assert thresholds.CLOCK_OFFSET_S in steps["Clock against the store's"]
    assert thresholds.ON_TIME_OBJECTIVE in steps["On time"]
    assert thresholds.LATENESS_OF_GRACE in steps["Of the misfire grace"]
    assert thresholds.ON_TIME_S in catalogue.JOB_LATENESS.buckets


def test_exemplars_are_asked_for_where_the_catalogue_has_them(board: dict[str, Any]) -> None:
    have = {metric.name for metric in catalogue.metrics() if metric.exemplar}
    for panel in panels(board):
        for target in panel["targets"]:
            read = {name.removesuffix("_bucket") for name in metrics_in(target["expr"])}
            assert not target["exemplar"] or read <= have, panel["title"]
            if panel["type"] == "heatmap":
                assert target["exemplar"] == (read <= have), panel["title"]


def test_only_alerts_that_notify_a_person_are_counted(tmp_path: Path) -> None:
    (query,) = (query for query in asked(generated("tickglass-overview")) if "ALERTS" in query.expr)
    rules = [promtool.rule_documents()[name] for name in ("TickglassWatchdog", "TickglassSchedulerDown")]
    test = {
        "interval": "15s",
        "input_series": [{"series": 'up{job="tickglass",instance="i1"}', "values": "1x40 0x40"}],
        "promql_expr_test": [
            {"expr": query.expr, "eval_time": at, "exp_samples": [{"labels": "{}", "value": count}]}
            for at, count in (("10m", 0), ("15m", 1))
        ],
    }
    assert promtool.verdict(tmp_path, [(rules, [test])]) == ""
