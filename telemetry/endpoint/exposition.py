"""Write a scrape as text, byte for byte as prometheus_client does, but faster.

A scrape in the scheduler's process competes with its timers for the
interpreter. Families of ours have their lines (telemetry/series/families.py);
families of others that share the registry go through prometheus_client.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Final

from prometheus_client.exposition import choose_encoder, gzip_accepted

from tickglass.telemetry.series import SeriesFamily

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric as Family
    from prometheus_client.registry import Collector

__all__ = ["encode", "scrape"]

GZIP_FROM: Final = 1_400  # bytes; a smaller answer fits into one packet anyway

_END: Final = b"# EOF\n"


def encode(registry: Collector, accept: str) -> tuple[str, bytes]:
    """Return content type and text of a scrape, in the format that the client prefers.

    Args:
        accept: the client's Accept header.
    """
    foreign, content_type = choose_encoder(accept)
    openmetrics = content_type.startswith("application/openmetrics-text")
    parts = []
    for family in registry.collect():
        if isinstance(family, SeriesFamily):
            parts.append("".join(family.lines(openmetrics=openmetrics)).encode())
        else:
            parts.append(foreign(_Single(family)).removesuffix(_END))
    if openmetrics:
        parts.append(_END)
    return content_type, b"".join(parts)


def scrape(registry: Collector, accept: str, accept_encoding: str) -> tuple[str, str, bytes]:
    """Return content type, content encoding ("": none) and body of a scrape, as the client's two headers ask for it."""
    content_type, body = encode(registry, accept)
    if len(body) <= GZIP_FROM or not gzip_accepted(accept_encoding):
        return content_type, "", body
    return content_type, "gzip", gzip.compress(body, compresslevel=1)


class _Single:
    """A registry of one family."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> Iterable[Family]:
        """Return the family."""
        return [self._family]
