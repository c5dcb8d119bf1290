"""Where time comes from: the interface of a clock, and the clocks of the machine.

Sinks of `tickglass.telemetry` take a clock; `tickglass.testing` has one that a test moves. Public: docs/api.md.
"""

from tickglass.sched.clock import Clock, ClockDiscipline, Reading, SystemClock, ThreadDelay, Wake

__all__ = ["Clock", "ClockDiscipline", "Reading", "SystemClock", "ThreadDelay", "Wake"]
