"""Hold the series that change together, and copy them together when scraped.

A group is one job, one resource, one pool. All of its values change under its
own lock and are copied under it, so sums that must agree do agree at every
scrape, and a scrape holds up one group for microseconds rather than all of them
for as long as the text takes to write. prometheus_client's own children cannot
do that: each has a lock of its own.
"""

from tickglass.telemetry.series.families import Page, SeriesFamily, family, samples_of
from tickglass.telemetry.series.group import SeriesGroup, Together
from tickglass.telemetry.series.instruments import Counters, Distribution, Histogram, Value

__all__ = [
    "Counters",
    "Distribution",
    "Histogram",
    "Page",
    "SeriesFamily",
    "SeriesGroup",
    "Together",
    "Value",
    "family",
    "samples_of",
]
