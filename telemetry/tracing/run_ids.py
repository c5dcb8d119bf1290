"""Decide which ids the spans of a run have.

The run id is the trace id, so a log line, a ledger entry, an exemplar and a
trace of one run share one name. Needs OpenTelemetry's API only.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry.trace import SpanContext, TraceFlags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace.id_generator import IdGenerator

__all__ = ["RunIds", "root_of"]


class RunIds:
    """An `IdGenerator` of the SDK that gives a run's root span the ids of its run id, and all others random ones.

    It is none by inheritance, because the SDK is loaded only where it is used.

    Args:
        others: where the other ids come from.
    """

    def __init__(self, others: IdGenerator) -> None:
        self._others = others
        self._beginning = threading.local()

    @contextmanager
    def of(self, run_id: str) -> Iterator[None]:
        """Give the ids of this run to the root span that this thread starts inside the `with`."""
        self._beginning.run_id = run_id
        try:
            yield
        finally:
            self._beginning.run_id = ""

    def generate_trace_id(self) -> int:
        """See `IdGenerator`."""
        run_id: str = getattr(self._beginning, "run_id", "")
        return int(run_id, 16) if run_id else self._others.generate_trace_id()

    def generate_span_id(self) -> int:
        """See `IdGenerator`."""
        run_id: str = getattr(self._beginning, "run_id", "")
        return _span_id(run_id) if run_id else self._others.generate_span_id()

    def is_trace_id_random(self) -> bool:
        """See `IdGenerator`: run ids are random, all 128 bits."""
        return self._others.is_trace_id_random()


def root_of(run_id: str) -> SpanContext:
    """Return the root span's context of any run, also of one that ran elsewhere."""
    return SpanContext(int(run_id, 16), _span_id(run_id), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _span_id(run_id: str) -> int:
    return int(run_id[:16], 16) or 1  # 0 is no span
