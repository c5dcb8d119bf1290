"""A scheduler of two jobs. Run it with `tickglass run app:scheduler` from this folder, as often as you like:
each due instant runs in one of the processes, and jobs.db says in which."""

from __future__ import annotations

import asyncio

from tickglass import Run, Scheduler, cron, every

scheduler = Scheduler("sqlite:///jobs.db", service="billing", metrics="127.0.0.1:0")


@scheduler.job(every("100ms"), timeout="25s")
def inventory_sync(run: Run) -> None:
    """Push what changed; the fence tells a stale writer from the present one."""
    if not run.cancelled:  # the lease was lost, or time is up
        print(f"{run.due_at:%H:%M:%S.%f} sync under fence {run.fence}")


@scheduler.job(cron("* * * * * ?", tz="Asia/Shanghai"), resource="ledger:eu")
async def reconcile(run: Run) -> None:
    """Coroutines run on one event loop, and hold no worker while they run."""
    await asyncio.sleep(0.05)
    print(f"{run.due_at:%H:%M:%S.%f} reconciled, attempt {run.attempt}")


if __name__ == "__main__":
    scheduler.run(longest="2s")
