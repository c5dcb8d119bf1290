"""Write alerting rules for Prometheus: `tickglass alerts export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tickglass.alerts.export import ALERTMANAGER, OPERATOR, RULES, files, runbooks
from tickglass.alerts.rule import Links
from tickglass.alerts.scope import DEFAULT_FLEET, RuleScope
from tickglass.cli.query_options import keep_option, on_time_option, selector_option
from tickglass.sched.errors import ConfigError
from tickglass.telemetry.queries.options import kept_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["alerts"]


@click.group("alerts", short_help="Write alerting rules for Prometheus.")
def alerts() -> None:
    """Alerting rules for Prometheus, with runbooks; what they say is in docs/alerts.md."""


@alerts.command("export")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--operator", is_flag=True, help="Write a PrometheusRule for the Prometheus operator instead of a file.")
@selector_option
@click.option(
    "--fleet", metavar="NAME", default=DEFAULT_FLEET, show_default=True, help="The label `fleet` of every alert."
)
@keep_option
@on_time_option
@click.option(
    "--runbook-base-url",
    metavar="URL",
    default="",
    help="Where you keep the runbooks. Default: no link, and they are written to DIR/runbooks.",
)
@click.option(
    "--dashboard-base-url",
    metavar="URL",
    default="",
    help="Your Grafana. Default: no link.",
)
def export(
    folder: Path,
    operator: bool,  # noqa: FBT001 - a flag, passed by its name
    selector: str,
    fleet: str,
    keep: str,
    on_time: float,
    runbook_base_url: str,
    dashboard_base_url: str,
) -> None:
    """Write recording and alerting rules, and an example for Alertmanager, to DIR.

    The same words write the same bytes; what is there is written over. Nothing
    has to be edited for a job: intervals, timeouts and graces are read from the
    metrics.

    \b
    tickglass alerts export rules/
    tickglass alerts export k8s/ --operator --selector 'namespace="prod"' --fleet prod
    tickglass alerts export rules/ --runbook-base-url https://wiki.example.com/runbooks
    promtool check rules rules/tickglass-rules.yml
    """  # noqa: D301 - \b is for click: the lines after it stay as they are
    links = Links(runbook_base_url, dashboard_base_url)
    written = files(RuleScope(selector, on_time, kept_labels(keep), fleet), links)
    wanted = {name: written[name] for name in (OPERATOR if operator else RULES, ALERTMANAGER)}
    if not runbook_base_url:
        wanted |= {f"runbooks/{name}": text for name, text in runbooks().items()}
    _write(folder, wanted)
    for name in wanted:
        if not name.startswith("runbooks/"):
            click.echo(folder / name)
    if not runbook_base_url:
        click.echo(folder / "runbooks")


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    try:
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"nothing can be written there: {error.strerror}", given=str(error.filename)) from error
