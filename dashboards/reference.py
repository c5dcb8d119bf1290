"""Write docs/dashboards.md: every board and panel, with what it shows and what a bad picture means. Pure.

The same boards give the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.dashboards.boards import boards
from tickglass.dashboards.model import GOOD
from tickglass.dashboards.scope import BoardScope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.dashboards.model import Board, Panel

__all__ = ["reference"]

_HEAD: Final = """\
# Dashboards

<!-- Generated from dashboards/ by `make generate`. -->

Five boards for Grafana 11 to 13, in `dashboards/generated/`. They are described in Python, one module per board, and
written with [grafanalib](https://github.com/weaveworks/grafanalib). Tests run each query on a real Prometheus that
scrapes a real fleet.

The pictures below show five minutes of the fleet of those tests, with every fault that the tests can cause. Of the
boards of locks and jobs they show the first two rows. `make pictures` draws them again, from Prometheus's answers and
with Grafana's own components. Grafana does not publish the heatmap, the state timeline and the status history as
packages: these are drawn in a simpler way, from the same answers and in the same colours.

## Getting them into Grafana

```console
$ tickglass dashboards export /var/lib/grafana/dashboards/tickglass
```

This writes the boards. Import them one by one, or let Grafana read the folder: `dashboards/provisioning/` has the
configuration for that.

The boards read both [levels of detail](telemetry.md#how-many-series). If Prometheus converts histograms at the scrape
(`convert_classic_histograms_to_nhcb`), it must [keep the classic ones](telemetry.md#native-histograms) beside them.

| Option | Means |
|---|---|
| `--selector MATCHERS` | read only targets with these labels, e.g. `'namespace="prod"'`: see [alerts.md](alerts.md) |
| `--datasource UID` | begin with this data source; without it, with Grafana's default |
| `--on-time SECONDS` | how late a start may be to count as on time: 0.008, 0.1 or 1; 0.008 |

With an option, the boards are built anew; that needs `pip install 'tickglass[dashboards]'`.
The same words write the same bytes. Boards are not editable in Grafana: a change that is made there would be lost with
the next version. Copy a board to change it.

`dashboards/provisioning/datasources/tickglass.yml` is an example of the data sources. Its `exemplarTraceIdDestinations`
make every exemplar a link to the trace of its run; for that, Prometheus needs `--enable-feature=exemplar-storage`. Set
`timeInterval` to your scrape interval.

## When you have been paged

1. The alert links to a board that is filtered by the lock or the job. Otherwise begin at the overview: its numbers and
   the lines of its tables are links to such a board.
2. *Holders*, on the board of locks, says which owner holds the lock, since when, and how many wait.
3. The dots in *Waits*, *Holds*, *Lateness* and *Durations* are runs: a click on one opens its trace.

## What can be picked

Every board has the same variables, and links keep them.

| Variable | Lists |
|---|---|
| Data source | the Prometheus data sources |
| Service | the services of all schedulers |
| Instance | what Prometheus scrapes for the picked services: schedulers, or sidecars with all series that they have |
| Job, Lock | those of the picked instances |

Prometheus may scrape schedulers or sidecars. It must not get the same scheduler from both, because its counters would
then be added up twice. A store does not know the services of jobs. So a job that a sidecar has only from the store,
because no scheduler of it was connected in the time that is shown, is listed only while all services are picked.

Red lines show leases that were lost, orange ones leases that ended without a release, purple ones clock steps.

Colours change at the numbers in `telemetry/thresholds.py`. The [alerts](alerts.md) fire at the same numbers.
"""
_PICTURES: Final = {
    "tickglass-overview": "Six numbers, what each job and each scheduler did over time, the worst jobs, the locks",
    "tickglass-locks": "Who holds which lock and who waits, now and over time; how long waits take, as a heatmap too",
    "tickglass-jobs": "Every job with its last start, end and success, and what became of its occurrences",
}


def reference() -> str:
    """Return the page."""
    parts = [_HEAD]
    for board in boards(BoardScope()):
        parts += _board(board)
    return "".join(parts)


def _board(board: Board) -> Iterator[str]:
    yield f"\n## {board.title}\n\n{board.question} Its uid is `{board.uid}`.\n"
    if board.uid in _PICTURES:
        yield f"\n![{_PICTURES[board.uid]}](images/{board.uid.replace('tickglass', 'board')}.png)\n"
    for row in board.rows:
        yield f"\n### {row.title}\n\n"
        yield "| Panel | Shows | Unit | Colours |\n|---|---|---|---|\n"
        for panel in row.panels:
            yield f"| {panel.title} | {panel.description} | {_unit(panel)} | {_colours(panel)} |\n"


def _unit(panel: Panel) -> str:
    columns = [query.column for query in panel.queries if query.column is not None]
    if len(columns) > 1:
        return "; ".join(f"{column.title}: `{column.unit}`" for column in columns)
    return f"`{panel.unit}`"


def _colours(panel: Panel) -> str:
    if panel.mappings:
        return ", ".join(f"{mapping.text}: {mapping.colour}" for mapping in panel.mappings)
    if panel.colours:
        return ", ".join(f"{name}: {colour}" for name, colour in panel.colours)
    named = [f"{step.colour} from {step.value:g}" for step in panel.steps if step.value is not None]
    first = [step.colour for step in panel.steps if step.value is None and step.colour != GOOD]
    return ", ".join([*(f"{colour} below" for colour in first), *named])
