"""The catalogue: names, units, bounded labels, and nothing shown that it does not declare."""

from __future__ import annotations

import shutil
import subprocess
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kit.servers import find_server

from tickglass.sched import ports
from tickglass.telemetry import catalogue, reference
from tickglass.telemetry.internals import GcPauses
from tickglass.telemetry.label_values import StoreOperation
from tickglass.telemetry.metric import OVERFLOW, Declared, Kind, Label, Metric
from tickglass.telemetry.sidecar.collector import SidecarCollector
from tickglass.telemetry.sidecar.schedulers.sources import Sources

if TYPE_CHECKING:
    from kit.metrics_stage import Stage

ROOT = Path(__file__).parents[3]


class Empty(StrEnum):
    pass


def test_names_are_unique() -> None:
    names = [metric.name for metric in catalogue.metrics()]
    assert len(names) == len(set(names)) > 50


@pytest.mark.parametrize("domain", [str, "acquired", ("a", "b"), Empty, None, int])
def test_a_label_without_a_bounded_domain_is_impossible(domain: object) -> None:
    with pytest.raises(TypeError, match="bounded"):
        Label("reason", domain)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["job", "instance", "le"])
def test_a_label_name_that_prometheus_uses_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="meaning of its own"):
        Label(name, Declared.JOB_NAME)


@pytest.mark.parametrize(
    ("metric", "rule"),
    [
        (("tickglass_runs", Kind.COUNTER, "Runs."), "_total"),
        (("tickglass_runs_total", Kind.GAUGE, "Runs."), "_total"),
        (("runs_total", Kind.COUNTER, "Runs."), "begins with"),
        (("tickglass_runs_total", Kind.COUNTER, "Runs"), "sentence"),
        (("tickglass_wait", Kind.GAUGE, "Wait.", (), "seconds"), "its unit"),
        (("tickglass_wait_seconds", Kind.HISTOGRAM, "Wait."), "buckets"),
        (("tickglass_wait_seconds", Kind.HISTOGRAM, "Wait.", (), "seconds", (2.0, 1.0)), "ascend"),
        (("tickglass_wait_seconds", Kind.GAUGE, "Wait.", (), "seconds", (), True), "exemplars"),
    ],
)
def test_a_metric_that_breaks_a_rule_is_refused(metric: tuple[object, ...], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Metric(*metric)  # type: ignore[arg-type]


def test_times_are_in_seconds() -> None:
    for metric in catalogue.metrics():
        assert metric.family.endswith("_seconds") == (metric.unit == "seconds"), metric.name


def test_store_operations_are_the_methods_of_the_ports() -> None:
    asks_nothing = ("close", "watch", "allowance_ns", "missing")
    methods = {
        name
        for port in (
            ports.LockStore,
            ports.Ledger,
            ports.Membership,
            ports.ControlReader,
            ports.ControlStore,
            ports.StoreObserver,
        )
        for name in vars(port)
        if not name.startswith("_") and name not in asks_nothing
    }
    assert {operation.value.replace("time", "time_ns") for operation in StoreOperation} == methods


def test_what_is_shown_is_what_is_declared(stage: Stage) -> None:
    sidecar = SidecarCollector(Sources(stage.clock), clock=stage.clock)
    embedded = {family.name: family for family in (*stage.metrics.collect(), *GcPauses(stage.clock).collect())}
    shown = {family.name: family for family in sidecar.collect()} | embedded
    assert {metric.family for metric in catalogue.sidecar_metrics()} == shown.keys() - embedded.keys()
    declared = {metric.family: metric for metric in catalogue.metrics()}
    assert shown.keys() == declared.keys()
    for name, family in shown.items():
        assert (family.type, family.documentation) == (declared[name].kind.value, declared[name].help)


def test_every_label_of_every_series_is_declared_and_within_its_domain(stage: Stage) -> None:
    stage.register("nightly")
    stage.hold(stage.lock("nightly"))
    stage.run(stage.occurrence("nightly"))
    stage.metrics.preregister(stores=["sqlite"], pools=["default"], sinks=["metrics"])
    declared = {metric.family: metric for metric in catalogue.metrics()}
    for family in stage.metrics.collect():
        labels = {label.name: label for label in declared[family.name].labels}
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == labels.keys(), sample
            for name, value in sample.labels.items():
                allowed = () if name == "le" else labels[name].values
                assert not allowed or value in allowed or value == OVERFLOW, sample


def test_the_reference_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert page == reference.reference(), "run: python -m tickglass.telemetry.reference docs/metrics.md"
    assert [metric.name for metric in catalogue.metrics() if f"### `{metric.name}`" not in page] == []


def test_promtool_finds_nothing_to_complain_about(stage: Stage) -> None:
    promtool = shutil.which("promtool") or find_server("promtool")
    stage.register("nightly")
    stage.hold(stage.lock("nightly"))
    stage.start(stage.occurrence("nightly"))
    stage.metrics.preregister(stores=["sqlite"], pools=["default"], sinks=["metrics"])
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=stage.text(), text=True, capture_output=True, check=False, timeout=30
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
