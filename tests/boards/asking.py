"""Ask Prometheus as Grafana does: variables first, one after the other, then queries with their values put in."""

from __future__ import annotations

import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from boards.reading import Asked, interpolated

from tickglass.sched.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kit.servers import Prometheus

RATE_INTERVAL: Final = "4s"  # at least four scrapes
RANGE_S: Final = 600
STEP_S: Final = 1
PATIENCE_S: Final = 15.0
_SPECIAL: Final = re.compile(r"([\\^$.|?*+()\[\]{}])")
_CLOCK: Final = SystemClock()

Series = list[dict[str, Any]]


class Asking:
    """A board's variables, as picked, and its queries' answers.

    Args:
        picked: values by variable; what is not named stays at All.
    """

    def __init__(self, server: Prometheus, board: Mapping[str, Any], picked: Mapping[str, str]) -> None:
        self._server = server
        self.listed: dict[str, list[str]] = {}
        self._values = {"$__rate_interval": RATE_INTERVAL, "$__range": f"{RANGE_S}s", "$__interval": "1s"}
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                self._pick(variable, picked)

    def _pick(self, variable: Mapping[str, Any], picked: Mapping[str, str]) -> None:
        name = variable["name"]
        match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
        assert match, variable
        values = self.listed[name] = self._label_values(interpolated(match[1], self._values), match[2])
        if name in picked:
            assert picked[name] in values
            self._values[f"${name}"] = _escaped(picked[name])
        else:
            several = "|".join(map(_escaped, values))
            self._values[f"${name}"] = variable.get("allValue") or f"({several})"

    def series(self, query: Asked) -> Series:
        """Return those series that have a number at some instant of the range.

        Those of instant queries, too: a busy machine misses a scrape now and then.
        """
        expr = interpolated(query.expr, self._values)
        assert "$" not in expr, expr
        now_s = _CLOCK.wall_ns() / 1e9
        start = str(now_s - RANGE_S)
        found = self._get("query_range", query=expr, start=start, end=str(now_s), step=str(STEP_S))["result"]
        return [each for each in found if any(not math.isnan(float(value)) for _, value in each["values"])]

    def exemplars(self, query: Asked) -> set[str]:
        """Return the traces behind it."""
        found = self._get("query_exemplars", query=interpolated(query.expr, self._values), start="0", end="9999999999")
        return {exemplar["labels"]["trace_id"] for each in found for exemplar in each["exemplars"]}

    def _label_values(self, selector: str, label: str) -> list[str]:
        start = str(_CLOCK.wall_ns() / 1e9 - RANGE_S)
        values: list[str] = self._get(f"label/{label}/values", start=start, **{"match[]": selector})
        return values

    def _get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - any JSON
        url = f"{self._server.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error


def _escaped(value: str) -> str:
    """Escape a value as Grafana does where it stands in a regular expression, within quotes."""
    return _SPECIAL.sub(r"\\\\\1", value)
