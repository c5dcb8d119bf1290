"""Decide how a panel's values look: units, colours, thresholds, columns, links, in Grafana's words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tickglass.dashboards.model import GOOD, Kind, Step
from tickglass.dashboards.scope import DATASOURCE

if TYPE_CHECKING:
    from tickglass.dashboards.model import Column, Link, Panel

__all__ = ["defaults", "options", "overrides", "transformations", "url"]

_KEPT: Final = (DATASOURCE, "service", "instance", "job_name", "resource")  # variables that a link keeps
_LEGEND: Final = {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True}
_TABLE_LEGEND: Final = _LEGEND | {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "right"}
_STACK_LEGEND: Final = _TABLE_LEGEND | {"calcs": ["max"]}  # rates are wide words; the last is seen
_TOOLTIP: Final = {"mode": "multi", "sort": "desc"}
_MANY: Final = 12  # from this width on there is room for a legend beside the picture


def url(link: Link, value: str) -> str:
    """Return the address of a board that is filtered by a value; all other variables stay as they are."""
    kept = [f"${{{name}:queryparam}}" for name in _KEPT if name != link.variable]
    picked = [f"var-{link.variable}={value}"] if link.variable else []
    return f"/d/{link.board}/{link.board}?{'&'.join([*kept, *picked])}&${{__url_time_range}}"


def _link(link: Link, value: str) -> dict[str, Any]:
    return {"title": link.title, "url": url(link, value), "targetBlank": False}


def _thresholds(steps: tuple[Step, ...]) -> dict[str, Any]:
    shown = steps or (Step(None, GOOD),)
    return {"mode": "absolute", "steps": [{"color": step.colour, "value": step.value} for step in shown]}


def defaults(panel: Panel) -> dict[str, Any]:
    """Return the field defaults."""
    fields: dict[str, Any] = {
        "unit": panel.unit,
        "noValue": panel.no_value,
        "thresholds": _thresholds(panel.steps),
        "color": {"mode": "palette-classic" if panel.kind is Kind.TIMESERIES else "thresholds"},
        "custom": _custom(panel),
    }
    if panel.maximum is not None:
        fields["max"] = panel.maximum
    if panel.kind is not Kind.HEATMAP:
        fields["mappings"] = _mappings(panel)
    if panel.link is not None and panel.kind is not Kind.TABLE:
        fields["links"] = [_link(panel.link, f"${{__field.labels.{panel.link.label}}}")]
    return fields


def _mappings(panel: Panel) -> list[dict[str, Any]]:
    if not panel.mappings:
        return []
    texts = {
        str(mapping.value): {"text": mapping.text, "color": mapping.colour, "index": place}
        for place, mapping in enumerate(panel.mappings)
    }
    return [{"type": "value", "options": texts}]


def _custom(panel: Panel) -> dict[str, Any]:
    hidden = {"hideFrom": {"legend": False, "tooltip": False, "viz": False}}
    match panel.kind:
        case Kind.TIMESERIES:
            return hidden | _drawing(panel)
        case Kind.STATE_TIMELINE | Kind.STATUS_HISTORY:
            return hidden | {"fillOpacity": 80, "lineWidth": 0}
        case Kind.HEATMAP:
            return hidden | {"scaleDistribution": {"type": "linear"}}
        case Kind.TABLE:
            return {
                "align": "auto",
                "cellOptions": {"type": "auto"},
                "minWidth": 80,
                "inspect": False,
                "filterable": True,
            }
        case Kind.STAT:
            return {}


def _drawing(panel: Panel) -> dict[str, Any]:
    highest = max((step.value for step in panel.steps if step.value is not None), default=0)
    reach = {"axisSoftMax": highest} if highest > 0 and panel.unit in ("short", "percentunit") else {}
    lines = len(panel.steps) > 1 and not panel.stacked
    return {
        "drawStyle": "bars" if panel.stacked else "line",
        "lineInterpolation": "stepAfter" if panel.stepped else "linear",
        "lineWidth": 0 if panel.stacked else 1,
        "fillOpacity": 80 if panel.stacked else 0,
        "gradientMode": "none",
        "showPoints": "never" if panel.stacked else "auto",
        "pointSize": 4,
        "spanNulls": False,
        "insertNulls": False,
        "barAlignment": 0,
        "barWidthFactor": 1,
        "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
        "thresholdsStyle": {"mode": "dashed" if lines else "off"},
        "scaleDistribution": {"type": "linear"},
        "axisPlacement": "auto",
        "axisSoftMin": 0,
        "axisLabel": "",
        "axisColorMode": "text",
        "axisBorderShow": False,
        "axisCenteredZero": False,
    } | reach


def options(panel: Panel) -> dict[str, Any]:
    """Return the options of the panel's kind."""
    match panel.kind:
        case Kind.TIMESERIES:
            beside = _STACK_LEGEND if panel.stacked else _TABLE_LEGEND
            return {"legend": beside if panel.width >= _MANY else _LEGEND, "tooltip": _TOOLTIP}
        case Kind.STAT:
            return _stat()
        case Kind.TABLE:
            sort = [{"displayName": panel.sort_by, "desc": True}] if panel.sort_by else []
            return {"showHeader": True, "cellHeight": "sm", "frameIndex": 0, "sortBy": sort}
        case Kind.HEATMAP:
            return _heatmap(panel)
        case Kind.STATE_TIMELINE:
            return {"alignValue": "left", "mergeValues": True} | _states()
        case Kind.STATUS_HISTORY:
            return {"colWidth": 0.9} | _states() | {"showValue": "never"}


def _states() -> dict[str, Any]:
    return {"legend": _LEGEND, "rowHeight": 0.9, "showValue": "auto", "tooltip": {"mode": "single", "sort": "none"}}


def _stat() -> dict[str, Any]:
    return {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showPercentChange": False,
        "textMode": "value",
        "wideLayout": True,
    }


def _heatmap(panel: Panel) -> dict[str, Any]:
    return {
        "calculate": False,
        "cellGap": 1,
        "cellValues": {"unit": "short", "decimals": 0},
        "color": {
            "mode": "scheme",
            "scheme": "Turbo",
            "fill": "dark-orange",
            "scale": "exponential",
            "exponent": 0.5,
            "steps": 64,
            "reverse": False,
        },
        "exemplars": {"color": "rgba(255,255,255,0.8)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": panel.unit},
    }


# --- tables -------------------------------------------------------------------


def _field(panel: Panel, place: int) -> str:
    """Return Grafana's name of the values of a table's n-th query."""
    return "Value" if len(panel.queries) == 1 else f"Value #{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[place]}"


def _columns(panel: Panel) -> list[tuple[str, Column]]:
    return [
        (_field(panel, place), query.column) for place, query in enumerate(panel.queries) if query.column is not None
    ]


def transformations(panel: Panel) -> list[dict[str, Any]]:
    """Return the transformations that merge several answers into one table: rows with the same labels become one."""
    if panel.kind is not Kind.TABLE:
        return []
    columns = _columns(panel)
    names = dict(panel.keys) | {field: column.title for field, column in columns}
    ordered = {field: place for place, field in enumerate(names)}
    merge = [{"id": "merge", "options": {}}] if len(columns) > 1 else []
    tidy = {"excludeByName": {"Time": True}, "indexByName": ordered, "renameByName": names}
    return [*merge, {"id": "organize", "options": tidy}]


def overrides(panel: Panel) -> list[dict[str, Any]]:
    """Return how the series of a graph, or the columns of a table, differ from each other."""
    if panel.kind is not Kind.TABLE:
        return [
            _override(name, [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}])
            for name, colour in panel.colours
        ]
    found = [_override(column.title, _looks(column)) for _, column in _columns(panel)]
    keys = dict(panel.keys)
    if panel.link is not None:
        found.append(
            _override(keys[panel.link.label], [{"id": "links", "value": [_link(panel.link, "${__value.raw}")]}])
        )
    return found


def _override(title: str, properties: list[dict[str, Any]]) -> dict[str, Any]:
    return {"matcher": {"id": "byName", "options": title}, "properties": properties}


def _looks(column: Column) -> list[dict[str, Any]]:
    looks: list[dict[str, Any]] = [{"id": "unit", "value": column.unit}]
    if column.steps:
        bar = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
        cell = bar if column.gauge else {"type": "color-text"}
        looks += [
            {"id": "thresholds", "value": _thresholds(column.steps)},
            {"id": "custom.cellOptions", "value": cell},
        ]
    else:
        looks.append({"id": "thresholds", "value": _thresholds((Step(None, "text"),))})
    if column.gauge:
        looks += [{"id": "min", "value": 0}, {"id": "max", "value": column.steps[-1].value}]
    return looks
