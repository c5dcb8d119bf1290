"""Write boards as Grafana reads them: grafanalib builds the JSON, and this module migrates it to today's schema.

grafanalib 0.7.1 knows Grafana as it was in 2023. Panels are its own classes; options that they lack go in as
`extraJson`, and `_migrated` removes the options that Grafana has dropped since. The tests check the result against
Grafana's own schemas.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from grafanalib import core
from grafanalib._gen import DashboardEncoder

from tickglass.dashboards.fields import defaults, options, overrides, transformations
from tickglass.dashboards.model import BOARD_WIDTH, Kind
from tickglass.dashboards.scope import DATASOURCE
from tickglass.telemetry.queries.selector import on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickglass.dashboards.model import Annotation, Board, Panel, Query
    from tickglass.dashboards.scope import BoardScope, Variable

__all__ = ["as_grafana"]

SCHEMA_VERSION: Final = 42
PLUGIN_VERSION: Final = "13.2.0"  # the options are of this version; without one Grafana takes them to be very old
TAG: Final = "tickglass"
ROW_HEIGHT: Final = 1
CROSSHAIR: Final = 1  # one line through all panels
ON_TIME_CHANGE: Final = 2  # variables are refreshed when the time range changes
SORTED: Final = 1

_SOURCE: Final = {"type": "prometheus", "uid": f"${{{DATASOURCE}}}"}
_CLASSES: Final = {
    Kind.TIMESERIES: core.TimeSeries,
    Kind.STAT: core.Stat,
    Kind.TABLE: core.Table,
    Kind.HEATMAP: core.Heatmap,
    Kind.STATE_TIMELINE: core.StateTimeline,
    Kind.STATUS_HISTORY: core.StateTimeline,  # grafanalib has no class for it, and this one is closest
}
_PANEL: Final = frozenset({
    "datasource", "description", "fieldConfig", "gridPos", "id", "interval", "maxDataPoints", "options",
    "pluginVersion", "targets", "title", "transformations", "type",
})  # fmt: skip
_ROW: Final = frozenset({"collapsed", "gridPos", "id", "panels", "title", "type"})
_BOARD: Final = frozenset({
    "annotations", "description", "editable", "graphTooltip", "links", "panels", "refresh", "schemaVersion", "tags",
    "templating", "time", "timepicker", "timezone", "title", "uid",
})  # fmt: skip
_VARIABLE: Final = frozenset({
    "allValue", "current", "datasource", "description", "hide", "includeAll", "label", "multi", "name", "options",
    "query", "refresh", "regex", "sort", "type",
})  # fmt: skip


def as_grafana(board: Board, scope: BoardScope, datasource: str = "") -> dict[str, Any]:
    """Return a board's JSON.

    Args:
        datasource: uid of the data source to begin with; "": Grafana's default.
    """
    built = core.Dashboard(
        title=board.title,
        uid=board.uid,
        description=board.question,
        tags=[TAG],
        editable=False,
        graphTooltip=CROSSHAIR,
        schemaVersion=SCHEMA_VERSION,
        timezone="browser",
        time=core.Time("now-1h", "now"),
        timePicker=core.TimePicker(["5s", "10s", "30s", "1m", "5m", "15m", "1h"], []),
        refresh="30s",
        links=[core.DashboardLink(title="Tickglass", tags=[TAG], asDropdown=False, includeVars=True, keepTime=True)],
        annotations=core.Annotations([_annotation(annotation) for annotation in board.annotations]),
        templating=core.Templating([_datasource(datasource), *map(_variable, scope.variables())]),
        panels=list(_laid_out(board)),
    ).auto_panel_ids()
    raw: dict[str, Any] = json.loads(json.dumps(built, cls=DashboardEncoder))
    return _migrated(raw)


# --- panels -------------------------------------------------------------------


def _laid_out(board: Board) -> Iterable[core.Panel]:
    """Place panels from left to right, a new line where one does not fit, rows one below the other."""
    top = 0
    for row in board.rows:
        heading = core.GridPos(h=ROW_HEIGHT, w=BOARD_WIDTH, x=0, y=top)
        top += ROW_HEIGHT
        left = line = 0
        placed = []
        for panel in row.panels:
            if left + panel.width > BOARD_WIDTH:
                top, left, line = top + line, 0, 0
            placed.append(_panel(panel, core.GridPos(h=panel.height, w=panel.width, x=left, y=top)))
            left, line = left + panel.width, max(line, panel.height)
        top += line
        yield core.RowPanel(
            title=row.title, gridPos=heading, collapsed=row.collapsed, panels=placed if row.collapsed else []
        )
        if not row.collapsed:
            yield from placed


def _panel(panel: Panel, place: core.GridPos) -> core.Panel:
    return _CLASSES[panel.kind](
        title=panel.title,
        description=panel.description,
        dataSource=_SOURCE,
        gridPos=place,
        maxDataPoints=60 if panel.kind is Kind.STATUS_HISTORY else None,
        targets=[_target(panel, query, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[at]) for at, query in enumerate(panel.queries)],
        transformations=transformations(panel),
        extraJson={
            "type": panel.kind.value,
            "pluginVersion": PLUGIN_VERSION,
            "options": options(panel),
            "fieldConfig": {"defaults": defaults(panel), "overrides": overrides(panel)},
        },
    )


class _Target(core.Target):  # type: ignore[misc]  # grafanalib has no types
    """A query, in the words of today's Prometheus plugin."""

    def to_json_data(self) -> dict[str, Any]:
        """Return its JSON."""
        exemplar = bool(self.metric)  # a field that Graphite used, and Prometheus does not
        return {
            "datasource": self.datasource,
            "editorMode": "code",
            "exemplar": exemplar,
            "expr": self.expr,
            "format": self.format,
            "instant": self.instant,
            "legendFormat": self.legendFormat,
            "range": not self.instant,
            "refId": self.refId,
        }


def _target(panel: Panel, query: Query, name: str) -> _Target:
    formats = {Kind.TABLE: "table", Kind.HEATMAP: "heatmap"}
    return _Target(
        expr=on_one_line(query.expr),
        legendFormat=query.legend,
        format=formats.get(panel.kind, "time_series"),
        instant=panel.kind in (Kind.TABLE, Kind.STAT),
        metric="exemplar" if query.exemplar else "",
        refId=name,
        datasource=_SOURCE,
    )


# --- what surrounds them ------------------------------------------------------


def _annotation(annotation: Annotation) -> dict[str, Any]:
    return {
        "name": annotation.name,
        "datasource": _SOURCE,
        "enable": True,
        "hide": False,
        "iconColor": annotation.colour,
        "target": {"expr": on_one_line(annotation.expr), "refId": "Anno", "legendFormat": annotation.title},
        "titleFormat": annotation.title,
        "textFormat": "",
        "tagKeys": "",
        "useValueForTime": "",
    }


def _datasource(uid: str) -> core.Template:
    return core.Template(
        name=DATASOURCE,
        query="prometheus",
        type="datasource",
        label="Data source",
        default=uid or None,
        refresh=1,
    )


def _variable(variable: Variable) -> core.Template:
    return core.Template(
        name=variable.name,
        label=variable.title,
        query={
            "qryType": 1,  # label values
            "query": f"label_values({variable.series}, {variable.label})",
            "refId": "PrometheusVariableQueryEditor-VariableQuery",
        },
        default="$__all",
        dataSource=_SOURCE,
        allValue=variable.all_value or None,
        includeAll=True,
        multi=True,
        refresh=ON_TIME_CHANGE,
        sort=SORTED,
    )


# --- migration ----------------------------------------------------------------


def _migrated(board: dict[str, Any]) -> dict[str, Any]:
    """Return the board without what Grafana no longer knows, and without nulls that mean nothing."""
    for link in board["links"]:
        link["icon"] = link["icon"] or "external link"
    board["timepicker"].pop("time_options")
    board["templating"]["list"] = [_migrated_variable(variable) for variable in board["templating"]["list"]]
    board["panels"] = [_migrated_panel(panel) for panel in board["panels"]]
    migrated: dict[str, Any] = _without_nulls({key: board[key] for key in board.keys() & _BOARD})
    return migrated


def _migrated_panel(panel: dict[str, Any]) -> dict[str, Any]:
    if panel["type"] == "row":
        inner = [_migrated_panel(inside) for inside in panel["panels"]]
        return {key: panel[key] for key in panel.keys() & _ROW} | {"panels": inner}
    if panel["type"] == Kind.STATUS_HISTORY:
        for key in ("alignValue", "mergeValues"):  # the state timeline's
            panel["options"].pop(key)
    if panel["type"] == Kind.TABLE:
        panel["fieldConfig"]["defaults"]["custom"].pop("displayMode")  # once the name of cellOptions
    return {key: panel[key] for key in panel.keys() & _PANEL}


def _migrated_variable(variable: dict[str, Any]) -> dict[str, Any]:
    chosen = variable["current"]["value"]
    kept = {key: variable[key] for key in variable.keys() & _VARIABLE}
    if chosen == "$__all":
        kept["current"] = {"text": ["All"], "value": ["$__all"]}
    else:
        kept["current"] = {"text": chosen, "value": chosen} if chosen else None
    return kept


def _without_nulls(node: Any) -> Any:  # noqa: ANN401 - any JSON
    """Drop members that are null; the first threshold's value is: it means "from the bottom"."""
    if isinstance(node, list):
        return [_without_nulls(item) for item in node]
    if not isinstance(node, dict):
        return node
    bottom = node.keys() == {"color", "value"}
    return {key: _without_nulls(value) for key, value in node.items() if value is not None or bottom}
