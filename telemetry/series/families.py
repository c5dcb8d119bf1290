"""Write the copies of a scrape out: as samples for prometheus_client, or as text for an endpoint of ours.

Text is byte for byte that of prometheus_client. The names of our own metrics are known to need no escaping and no
check, which is where prometheus_client spends its time. What has not changed since the last scrape is not written
again.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Final

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from tickglass.telemetry.series.instruments import Counts, Distribution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tickglass.telemetry.metric import Metric
    from tickglass.telemetry.series.instruments import Copy, TraceExemplar

__all__ = ["Page", "Place", "Row", "SeriesFamily", "Spot", "family", "row_of", "samples_of", "spot_of"]

# Cached, because most numbers are 0, or the same as at the previous scrape.
_number: Final[Callable[[float], str]] = lru_cache(maxsize=8_192)(floatToGoString)


class Spot:
    """Which series of a group: the metric, and the values of its labels after the group's name.

    Groups of one kind share them: see `spot_of`.
    """

    __slots__ = ("metric", "names", "rest")

    def __init__(self, metric: Metric, rest: tuple[str, ...]) -> None:
        self.metric = metric
        self.names = tuple(label.name for label in metric.labels)
        self.rest = rest


@lru_cache(maxsize=4_096)
def spot_of(metric: Metric, rest: tuple[str, ...]) -> Spot:
    """Return the one spot of that metric and these values; of `Counters`, without the last value."""
    return Spot(metric, rest)


Common = tuple[tuple[str, str], ...]  # labels of every series of a sink; a label that a metric declares keeps its own


class Place:
    """Where the series of one group are: their labels.

    Args:
        name: the value of the first label of the group's metrics; None if they do not share one.
    """

    __slots__ = ("_common", "_name")

    def __init__(self, name: str | None, common: Common) -> None:
        self._name = name
        self._common = common

    def labels(self, spot: Spot) -> dict[str, str]:
        """Return the labels of the series; of `Counters`, without the last one."""
        values = spot.rest if self._name is None else (self._name, *spot.rest)
        return {**dict(self._common), **dict(zip(spot.names, values, strict=False))}

    def written(self, spot: Spot, copy: Copy, *, openmetrics: bool) -> str:
        """Return the lines of the series, as prometheus_client writes them in that format."""
        name = spot.metric.name
        if isinstance(copy, Counts):
            before, after = self._around(spot, spot.names[-1])
            lines = [f"{name}{before}{value}{after}{_number(count)}\n" for value, count in zip(*copy, strict=True)]
            return "".join(lines)
        whole = "".join(self._around(spot, ""))
        if not isinstance(copy, Distribution):
            return f"{name}{whole}{_number(copy)}\n"
        before, after = self._around(spot, "le")
        upto = _upto(copy)
        marks = copy.marks if openmetrics and copy.marks else (None,) * len(upto)
        lines = [
            f"{name}_bucket{before}{bound}{after}{_number(count)}{_mark(mark) if mark else ''}\n"
            for bound, count, mark in zip(_bound_texts(copy.bounds), upto, marks, strict=True)
        ]
        return f"{''.join(lines)}{name}_count{whole}{_number(upto[-1])}\n{name}_sum{whole}{_number(copy.total)}\n"

    def _around(self, spot: Spot, last: str) -> tuple[str, str]:
        """Return what stands before and after the value of the label that varies; "" varies not, and stands last."""
        named = self._name is not None
        texts, is_name_first = _around_values(spot, self._common, last, named=named)
        if not named:
            return texts[0], texts[1]
        name = _escaped(self._name or "")
        if is_name_first:
            return f"{texts[0]}{name}{texts[1]}", texts[2]
        return texts[0], f"{texts[1]}{name}{texts[2]}"


@lru_cache(maxsize=4_096)
def _around_values(spot: Spot, common: Common, last: str, *, named: bool) -> tuple[tuple[str, ...], bool]:
    """Return the text of the labels around the group's name and around the label that varies, in the order of labels.

    Also return whether the name comes first. The groups of one kind have the same.
    """
    own = dict(zip(spot.names, ("", *spot.rest) if named else spot.rest, strict=False))
    open_labels = {spot.names[0]} if named else set()
    open_labels |= {last} if last else set()
    texts = [""]
    labels = sorted({**dict(common), **own, **({last: ""} if last else {})}.items())
    for number, (label, value) in enumerate(labels):
        texts[-1] += f'{"," if number else "{"}{label}="'
        if label in open_labels:
            texts.append("")
        else:
            texts[-1] += _escaped(value)
        texts[-1] += '"'
    texts[-1] += "} " if labels else " "
    if not last:
        texts.append("")
    return tuple(texts), not last or not named or spot.names[0] < last


class Row:
    """One instrument of one group, as it was at a scrape, and its text once it was written.

    It is the same row at the next scrape if the copy is equal. Two scrapes at once may both write it; each reads its
    own text.
    """

    __slots__ = ("_openmetrics", "_plain", "copy", "place", "spot")

    def __init__(self, place: Place, spot: Spot, copy: Copy) -> None:
        self.place = place
        self.spot = spot
        self.copy = copy
        self._plain: str | None = None
        self._openmetrics: str | None = None

    def text(self, *, openmetrics: bool) -> str:
        """Return the lines, written anew only if the last ones were in another format."""
        text = self._openmetrics if openmetrics else self._plain
        if text is None:
            text = self.place.written(self.spot, self.copy, openmetrics=openmetrics)
            self._openmetrics, self._plain = (text, None) if openmetrics else (None, text)
        return text

    def samples(self) -> Iterable[Sample]:
        """Return the samples, for prometheus_client."""
        return samples_of(self.spot.metric, self.place.labels(self.spot), self.copy)


def row_of(last: Row | None, place: Place, spot: Spot, copy: Copy) -> Row:
    """Return the last row if it is still true, else a new one."""
    if last is not None and last.spot is spot and last.copy == copy and last.place is place:
        return last
    return Row(place, spot, copy)


class SeriesFamily(Family):
    """A family of ours, whose samples, or whose text, are made when somebody asks for them.

    `rows` are those of groups, `loose` has samples beside them.
    """

    def __init__(self, metric: Metric) -> None:
        self.rows: list[Row] = []
        self.loose: list[Sample] = []
        super().__init__(metric.family, metric.help, metric.kind.value, metric.unit)

    @property
    def samples(self) -> list[Sample]:
        """All samples, for prometheus_client: from the first call on the list itself is what counts."""
        if self.rows:
            rows, self.rows = self.rows, []
            self.loose = [*chain.from_iterable(row.samples() for row in rows), *self.loose]
        return self.loose

    @samples.setter
    def samples(self, samples: list[Sample]) -> None:
        self.rows, self.loose = [], samples

    def take(self, other: SeriesFamily) -> None:
        """Add what another page has of this family."""
        self.rows += other.rows
        self.loose += other.loose

    def lines(self, *, openmetrics: bool) -> Iterator[str]:
        """Yield head and lines, as prometheus_client writes them in that format."""
        name = self.name if openmetrics or self.type != "counter" else f"{self.name}_total"
        text = self.documentation.replace("\\", r"\\").replace("\n", r"\n")
        yield f"# HELP {name} {text}\n# TYPE {name} {self.type}\n"
        if openmetrics and self.unit:
            yield f"# UNIT {name} {self.unit}\n"
        for row in self.rows:
            yield row.text(openmetrics=openmetrics)
        for sample in self.loose:
            yield _written_sample(sample, openmetrics=openmetrics)


Page = dict[str, SeriesFamily]  # the families of one scrape, by metric name


def family(metric: Metric) -> SeriesFamily:
    """Return the metric's family, without samples."""
    return SeriesFamily(metric)


def samples_of(metric: Metric, labels: dict[str, str], copy: Copy) -> Iterable[Sample]:
    """Return the samples of a copy.

    Args:
        labels: of the series; of `Counters`, without the last one.
    """
    if isinstance(copy, Counts):
        last = metric.labels[-1].name
        return [Sample(metric.name, {**labels, last: value}, count) for value, count in zip(*copy, strict=True)]
    if isinstance(copy, Distribution):
        return _samples_of_distribution(metric.name, labels, copy)
    return [Sample(metric.name, labels, copy)]


def _samples_of_distribution(name: str, labels: dict[str, str], copy: Distribution) -> Iterator[Sample]:
    upto = _upto(copy)
    for place, bound in enumerate(_bound_texts(copy.bounds)):
        mark = copy.marks[place] if copy.marks else None
        exemplar = mark and Exemplar({"trace_id": mark.trace_id}, mark.value, mark.wall_ns / 1e9)
        yield Sample(f"{name}_bucket", {**labels, "le": bound}, upto[place], None, exemplar)
    yield Sample(f"{name}_count", labels, upto[-1])
    yield Sample(f"{name}_sum", labels, copy.total)


def _upto(copy: Distribution) -> list[int]:
    return list(accumulate(copy.counts)) if copy.counts else [0] * (len(copy.bounds) + 1)


@lru_cache(maxsize=64)
def _bound_texts(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*map(floatToGoString, bounds), "+Inf")


@lru_cache(maxsize=8_192)
def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _mark(mark: TraceExemplar) -> str:
    return f' # {{trace_id="{_escaped(mark.trace_id)}"}} {_number(mark.value)} {mark.wall_ns / 1e9}'


def _written_sample(sample: Sample, *, openmetrics: bool) -> str:
    labels = _texts_of(sorted(sample.labels.items()))
    whole = f"{{{labels}}} " if labels else " "
    mark = ""
    if openmetrics and sample.exemplar:
        traced = _texts_of(sorted(sample.exemplar.labels.items()))
        mark = f" # {{{traced}}} {_number(sample.exemplar.value)} {sample.exemplar.timestamp}"
    return f"{sample.name}{whole}{_number(sample.value)}{mark}\n"


def _texts_of(pairs: list[tuple[str, str]]) -> str:
    return ",".join([f'{label}="{_escaped(value)}"' for label, value in pairs])
