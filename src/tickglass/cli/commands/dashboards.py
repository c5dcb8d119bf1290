"""Write boards for Grafana: `tickglass dashboards export`."""

from __future__ import annotations

from pathlib import Path

import click

from tickglass.cli.query_options import keep_option, on_time_option, selector_option
from tickglass.dashboards.export import files, shipped
from tickglass.dashboards.scope import BoardScope
from tickglass.sched.errors import ConfigError
from tickglass.telemetry.queries.options import kept_labels

__all__ = ["dashboards"]


@click.group("dashboards", short_help="Write boards for Grafana.")
def dashboards() -> None:
    """Boards for Grafana 11 to 13; what they show is in docs/dashboards.md."""


@dashboards.command("export")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@selector_option
@click.option("--datasource", metavar="UID", default="", help="Begin with this data source. Default: Grafana's own.")
@keep_option
@on_time_option
def export(folder: Path, selector: str, datasource: str, keep: str, on_time: float) -> None:
    """Write the boards to DIR, one JSON file each.

    The same words write the same bytes; what is there is written over. Import
    the files in Grafana, or let it read DIR: provisioning does that. With an
    option, the boards are built: pip install 'tickglass[dashboards]'.

    \b
    tickglass dashboards export /var/lib/grafana/dashboards/tickglass
    tickglass dashboards export boards/ --selector 'namespace="prod", cluster=~"eu-.*"'
    tickglass dashboards export boards/ --datasource prometheus --on-time 0.1
    """  # noqa: D301 - \b is for click: the lines after it stay as they are
    scope, datasource = BoardScope(selector, on_time, kept_labels(keep)), datasource.strip()
    written = files(scope, datasource) if datasource or scope != BoardScope() else shipped()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in written.items():
            (folder / name).write_text(text, encoding="utf-8")
            click.echo(folder / name)
    except OSError as error:
        raise ConfigError(f"nothing can be written there: {error.strerror}", given=str(error.filename)) from error
