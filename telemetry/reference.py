"""Write docs/metrics.md from the catalogue: `python -m tickglass.telemetry.reference docs/metrics.md`.

The same catalogue gives the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client.utils import floatToGoString

from tickglass.telemetry.catalogue import metrics
from tickglass.telemetry.metric import Compact, Declared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.telemetry.metric import Label, Metric

__all__ = ["reference"]

_HEAD: Final = """\
# Metrics

<!-- Generated from telemetry/catalogue/ by `python -m tickglass.telemetry.reference docs/metrics.md`. -->

Every metric that Tickglass exports, as declared in `telemetry/catalogue/`. All times are in seconds; timestamps are
seconds since the Unix epoch. Every counter starts at 0 when its job, lock, pool or store is first known, so
`increase()` sees its first count. A gauge may be absent; its entry says when.

Labels whose values users declare (`job_name`, `resource`, `owner`, `service`, `pool`, `backend`, `sink`) show 1,000
values each; those after them share `__other__`, and `tickglass_label_overflow_total` counts how often. The values of
all other labels are listed here.

At [compact detail](telemetry.md#how-many-series) some metrics have fewer series; their entries say so. "Together"
means: counted for all jobs, or all locks, of a scheduler in one series, whose `job_name` or `resource` is `__other__`.

A scheduler's own endpoint adds the label `service` to every series, because another service may have a job of the same
name. A [sidecar](sidecar.md) shows the same series, each with the `owner` and the `service` of the scheduler that
reported it, also if the entry does not name them. What it reads in a store has an additional label `source`: the
store's URL without password.

Beside these, the process's own `process_cpu_seconds_total`, `process_resident_memory_bytes` and so on are exported
as prometheus_client names them.
"""

_SECTIONS: Final = (
    ("distributed_lock_", "Locks and the store"),
    ("tickglass_job_", "Jobs"),
    ("tickglass_sidecar_", "The sidecar"),
    ("tickglass_", "The scheduler and its telemetry"),
)


def reference() -> str:
    """Return the page."""
    left = list(metrics())
    parts = [_HEAD]
    for prefix, title in _SECTIONS:
        here = [metric for metric in left if metric.name.startswith(prefix)]
        left = [metric for metric in left if metric not in here]
        parts.append(f"\n## {title}\n")
        parts += [line for metric in here for line in _entry(metric)]
    return "".join(parts)


def _entry(metric: Metric) -> Iterator[str]:
    yield f"\n### `{metric.name}`\n\n"
    yield f"{metric.kind.capitalize()}. {metric.help}\n"
    if metric.labels:
        yield "\n"
        yield from (f"- `{label.name}`: {_values(label)}\n" for label in metric.labels)
    if metric.buckets:
        compact = f" At compact detail: {_bounds(metric.compact_buckets)}." if metric.compact_buckets else ""
        exemplar = " Exemplar: `trace_id`." if metric.exemplar else ""
        yield f"\nBuckets: {_bounds(metric.buckets)}.{compact}{exemplar}\n"
    if metric.compact is not Compact.BY_NAME:
        yield f"\nAt compact detail: {_at_compact(metric)}.\n"


def _bounds(buckets: tuple[float, ...]) -> str:
    return ", ".join(map(floatToGoString, buckets))


def _at_compact(metric: Metric) -> str:
    if metric.compact is Compact.LEFT_OUT:
        return "absent"
    by_name = "; ".join(f"`{value}` as at full detail" for value in metric.by_name)
    return f"{by_name}, the others together" if by_name else "together"


def _values(label: Label) -> str:
    if isinstance(label.domain, Declared):
        return "as declared"
    return ", ".join(f"`{value}`" for value in label.values)


def main(arguments: list[str]) -> None:
    """Write the page to the path given, or to standard output."""
    if arguments:
        Path(arguments[0]).write_text(reference(), encoding="utf-8")
    else:
        sys.stdout.write(reference())


if __name__ == "__main__":
    main(sys.argv[1:])
