"""What a Prometheus would have scraped of a real engine on a clock that is moved by hand, as input for promtool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import promql_parser
from expressions import EXPRESSIONS, selectors
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    import promtool

__all__ = ["SCRAPE_S", "Recording"]

SCRAPE_S: Final = 15
READ: Final = {selector.name for expr in EXPRESSIONS.values() for selector in selectors(promql_parser.parse(expr))}


class Recording:
    """What a Prometheus would have scraped of one instance, every fifteen seconds."""

    def __init__(self, began_s: float) -> None:
        self._began_s = began_s
        self._scrapes = 0
        self._series: dict[str, list[str]] = {}

    def scrape(self, text: str) -> None:
        seen = {"up": ({"job": "tickglass"}, 1.0)}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in READ:
                    # promtool's time begins at zero
                    began_s = self._began_s if sample.name.endswith("_timestamp_seconds") else 0.0
                    labels = {**sample.labels, "job": "tickglass"}
                    seen[sample.name + str(labels)] = (labels | {"__name__": sample.name}, sample.value - began_s)
        for labels, value in seen.values():
            name = labels.pop("__name__", "up")
            written = ",".join(f'{label}="{text}"' for label, text in {**labels, "instance": "i1"}.items())
            self._series.setdefault(f"{name}{{{written}}}", ["_"] * self._scrapes).append(repr(value))
        self._scrapes += 1
        for values in self._series.values():
            if len(values) < self._scrapes:
                values.append("_" if values[-1] in ("_", "stale") else "stale")

    def input_series(self) -> list[promtool.Document]:
        return [{"series": name, "values": " ".join(values)} for name, values in sorted(self._series.items())]
