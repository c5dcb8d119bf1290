"""Write docs/alerts.md from the rules; the same rules give the same bytes.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.alerts.alertmanager import INHIBITIONS
from tickglass.alerts.rule import Alert, Group, Record
from tickglass.alerts.rulebook import alerts, groups
from tickglass.alerts.scope import RuleScope
from tickglass.telemetry import thresholds

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["reference"]

_HEAD: Final = """\
# Alerts

<!-- Generated from alerts/ by `make generate`. -->

{count} alerts for Prometheus (2.42 or later) and Alertmanager, built from the same catalogue as the
[metrics](metrics.md). Every one has a runbook. Ready to load are `alerts/generated/tickglass-rules.yml`, the same as a
`PrometheusRule` for the operator, `prometheusrule.yml`, and an example for Alertmanager, `alertmanager.yml`. With your
own addresses:

```console
$ tickglass alerts export rules/ --runbook-base-url https://wiki.example.com --dashboard-base-url https://grafana.example.com
```

| Option | Means |
|---|---|
| `--operator` | write the manifest for the Prometheus operator instead of a file of rules |
| `--selector MATCHERS` | read only series of targets with these labels, for instance `'namespace="prod"'` |
| `--fleet NAME` | the label `fleet` that every alert and every recorded series carries; `tickglass` by default |
| `--keep LABELS` | labels of targets that tell apart jobs and locks of one name; `cluster,namespace` by default |
| `--on-time SECONDS` | how late a start may be to count as on time: 0.008, 0.1 or 1 |
| `--runbook-base-url URL` | where you keep the runbooks; without it no link, and they are written to `DIR/runbooks` |
| `--dashboard-base-url URL` | your Grafana, with the boards of [dashboards.md](dashboards.md); without it no link |

A link to a board carries the service, the job or the lock, and the time from three hours before the alert on.

Targets are found by the name of their scrape job: `tickglass`, or a name that begins with it, unless the selector says
`job="..."` or `job=~"..."`. For two fleets in one Prometheus, export twice, each time with another selector and fleet.

A selector is for labels that a target's series all have, `up` too: those of service discovery and of
`relabel_configs`, such as `cluster`, `namespace`, `job` or `instance`. One of the metrics' own labels, such as
`service` or `job_name`, is refused: `up` and most series do not have it, so the rules would take these series for gone.
A regular expression that Prometheus (RE2) may not read is refused too; `|`, `.*`, `[a-z]`, `\\\\d`, counts and groups
are accepted.

## No rule has to be edited for a job

A job's interval, timeout and grace, and a lock's TTL and longest hold, are exported as metrics, and the rules compare
with these. So a new job is covered as soon as it is scraped. The other limits are shares and counts that hold for all
jobs and locks. They are in `telemetry/thresholds.py`, and the boards change colour at the same numbers:

{thresholds}

## Which jobs are the same job

A job is the same on all instances of its `service`, in one `cluster` and `namespace` (`--keep`): a job of that name in
another service excuses nothing. Every series carries `service`: a scheduler's own endpoint and a sidecar add it. Where
targets have no `cluster` or `namespace`, the label does no harm. A resource is shared by all services that name it; the
alerts about a lock name its holder.

## How old a number is

Ages (how long a job is overdue, how long it owes a success, how long a run or a lease goes on) are computed by the
exporter at the scrape, not by comparing `time()` with a timestamp: that would be older by the age of the scrape, and a
job that runs ten times a second would alert for ever at a scrape each 15 s. The rules are tested at scrapes each 15, 30
and 60 s. `for` and windows suit these; with longer intervals between scrapes, edit them.

A target that is listed and cannot be scraped has died or is frozen. One that is not listed any more was taken away on
purpose, so its jobs retire without an alert; if your service discovery drops what has died, alert on that there. With a
fixed list of targets, take a service that you stop off the list.

## Where they read from

The same rules read schedulers that Prometheus scrapes and schedulers that a sidecar reports on. All of their series
have our label `service`, and a `ServiceMonitor` adds a label of the same name to its targets. Scrape both with
`honor_labels: true` (`honorLabels: true` for the operator). Otherwise Prometheus renames our label to
`exported_service`, and the services that one target reports on are taken for one.

## How they are proved

Every alert has cases for promtool in which it fires and in which it is silent, and the cases notice when a rule is
spoiled in any small way (`make mutants`). Recorded histories of fleets are laid before all rules at once: an hour
with a rolling deploy, a service scaled to zero and back, and restarts alerts nobody. `make live` makes nine faults
before a real Prometheus that scrapes each 15 s, in about ten minutes.

They also read both [levels of detail](telemetry.md#how-many-series). If Prometheus converts histograms at the scrape
(`convert_classic_histograms_to_nhcb`), it must [keep the classic ones](telemetry.md#native-histograms) beside them.

## All of them

| Alert | Severity | After | Says |
|---|---|---|---|
{table}
"critical": a person must act now. "warning": a person must act in working hours. "none" proves that alerts arrive: have
something outside complain when it stops.

## What silences what

While the first alert fires, Alertmanager sends no notification of the others that have the same labels
(`inhibit_rules` in the example). Alertmanager takes labels that both alerts lack for equal, so only labels that both
alerts have are named.

| While this fires | these are silent | with the same | because |
|---|---|---|---|
{inhibitions}
## The rules
"""


def reference() -> str:
    """Return the page."""
    head = _HEAD.format(
        count=len(alerts()),
        thresholds=", ".join(f"`{name}` {getattr(thresholds, name):g}" for name in thresholds.__all__) + ".",
        table="".join(map(_row, alerts())),
        inhibitions="".join(
            f"| {inhibition.source} | {', '.join(inhibition.targets)}"
            f" | {', '.join(f'`{label}`' for label in inhibition.equal(RuleScope()))} | {inhibition.because} |\n"
            for inhibition in INHIBITIONS
        ),
    )
    return head + "".join(line for group in groups() for line in _group(group))


def _row(alert: Alert) -> str:
    link = f"[{alert.name}](../alerts/runbooks/{alert.name}.md)"
    return f"| {link} | {alert.severity} | {alert.pending} | {alert.summary} |\n"


def _group(group: Group) -> Iterator[str]:
    often = f"\nEvaluated every {group.every}.\n" if group.every else ""
    yield f"\n### {group.name}\n{often}"
    for rule in group.rules:
        yield f"\n`{rule.name}`{_timing(rule)}\n\n```promql\n{rule.expr}\n```\n"


def _timing(rule: Record | Alert) -> str:
    if isinstance(rule, Record):
        return ", recorded:"
    keeps = f", goes on for {rule.keep_firing_for} afterwards" if rule.keep_firing_for else ""
    return f" ({rule.severity}, after {rule.pending}{keeps}):"
