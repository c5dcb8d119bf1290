"""Jobs, a trigger and a sink that raise, in a real scheduler on a real file: each is told of, and harms nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kit.processes import Scrape, wait_until

from tickglass import Scheduler, Trigger, every

if TYPE_CHECKING:
    from pathlib import Path

    from tickglass.sched.events import Event


RUNS: Final = 3
ASKED: Final = 5  # some of it at the start; then after 1 and 2 s


class BrokenTrigger(Trigger):
    """A trigger that raises each time."""

    def next_after_ns(self, after_ns: int) -> int | None:
        raise RuntimeError(f"nothing comes after {after_ns}")


class BrokenSink:
    """A sink that raises each time."""

    def record(self, event: Event) -> None:
        raise RuntimeError(f"no {event}")


def raises() -> None:
    raise ValueError("on purpose")


async def exits() -> None:
    raise SystemExit(3)


def test_code_of_users_that_raises_is_counted_and_the_other_jobs_run(tmp_path: Path) -> None:
    scheduler = Scheduler(
        f"sqlite:///{tmp_path / 'jobs.db'}",
        owner="n1",
        workers=1,
        sinks={"broken": BrokenSink()},
        metrics="127.0.0.1:0",
        spool=tmp_path / "spool",
    )
    for job in (raises, exits):
        scheduler.add(job, every("100ms"), resource="shared", misfire_grace="5s")
    scheduler.add(lambda: None, every("100ms"), name="well", resource="shared", misfire_grace="5s")
    scheduler.add(lambda: None, BrokenTrigger(), name="never")

    def told() -> bool:
        assert scheduler.metrics_port is not None
        scrape = Scrape(scheduler.metrics_port)
        scrape.assert_the_account_agrees()
        wanted = [("raises", "failure"), ("exits", "failure"), ("well", "success")]
        ended = [scrape.total("tickglass_job_outcomes_total", job_name=job, outcome=end) for job, end in wanted]
        asked = scrape.total("tickglass_job_trigger_failures_total", job_name="never")
        sink = scrape.total("tickglass_telemetry_sink_failures_total", sink="broken")
        return min(ended) >= RUNS and asked >= ASKED and sink >= RUNS * len(wanted)

    with scheduler:
        wait_until(told, "not all is told, or somebody is harmed")
        assert scheduler.unready() == []
