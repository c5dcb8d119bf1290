"""What a Prometheus would have scraped of a real engine on a clock that is moved by hand, as input for promtool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import promql_parser
from kit.expressions import EXPRESSIONS, selectors
from prometheus_client.parser import text_string_to_metric_families

from tickglass.telemetry import catalogue

if TYPE_CHECKING:
    from kit import promtool

__all__ = ["SCRAPE_S", "Labels", "Recording"]

Labels = dict[str, str]
SCRAPE_S: Final = 15
ITSELF: Final = {"job": "tickglass", "instance": "i1"}
READ: Final = {selector.name for expr in EXPRESSIONS.values() for selector in selectors(promql_parser.parse(expr))}


class Recording:
    """What a Prometheus would have scraped of one scheduler, every fifteen seconds."""

    def __init__(self, began_s: float) -> None:
        self._began_s = began_s
        self._scrapes = 0
        self._series: dict[str, tuple[Labels, list[str]]] = {}

    def scrape(self, text: str) -> None:
        """Take what it exposes; nothing, while it is not there."""
        seen: dict[str, tuple[Labels, float]] = {"up": ({"__name__": "up"}, float(bool(text)))}
        if text:
            seen["connected"] = ({"__name__": catalogue.SIDECAR_CONNECTED.name}, 1.0)
        read = "\n".join(
            line for line in text.splitlines() if line.partition("{")[0].partition(" ")[0] in READ
        )  # parsing takes its time
        for family in text_string_to_metric_families(f"{read}\n"):
            for sample in family.samples:
                # promtool's time begins at zero
                began_s = self._began_s if sample.name.endswith("_timestamp_seconds") else 0.0
                labels = {**sample.labels, "__name__": sample.name}
                seen[str(labels)] = labels, sample.value - began_s
        for key, (labels, value) in seen.items():
            self._series.setdefault(key, (labels, ["_"] * self._scrapes))[1].append(repr(value))
        self._scrapes += 1
        for _, values in self._series.values():
            if len(values) < self._scrapes:
                values.append("_" if values[-1] in ("_", "stale") else "stale")

    def input_series(self, more: Labels = ITSELF) -> list[promtool.Document]:
        """Return it with the labels that come with the scrape; those of a sidecar's name the scheduler's owner."""
        found = []
        for labels, values in self._series.values():
            name = labels["__name__"]
            if name == catalogue.SIDECAR_CONNECTED.name and "owner" not in more:
                continue
            own = {label: text for label, text in labels.items() if label != "__name__"}
            target = more if name != "up" else {label: more[label] for label in ("job", "instance")}
            alive = values if name != "up" or "owner" not in more else ["1.0"] * len(values)
            written = ",".join(f'{label}="{text}"' for label, text in {**own, **target}.items())
            found.append({"series": f"{name}{{{written}}}", "values": " ".join(alive)})
        return found
