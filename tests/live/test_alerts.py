"""Faults are made for real; a real Prometheus and a real Alertmanager tell of each, once, and of nothing else.

The rules are those that ship, with all their times divided by sixty.
"""

from __future__ import annotations

import re
import signal
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from kit.alerting import Webhook, running_alertmanager
from kit.processes import running_fleet, wait_until
from kit.servers import running_prometheus
from live.test_sidecar import Sidecar, connected

from tickglass import Scheduler, every
from tickglass.alerts import Links, RuleScope, files
from tickglass.alerts.alertmanager import alertmanager
from tickglass.alerts.export import RULES
from tickglass.sched.durations import SECOND
from tickglass.sched.events import ClockStepped, FencingRejected
from tickglass.sched.lease import LockEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kit.alerting import Alertmanager
    from kit.servers import RedisServer
    from live.conftest import LiveStage

pytestmark = pytest.mark.xdist_group("busy")  # see tests/chaos/test_chaos.py

SHORTER: Final = 60
PATIENCE_S: Final = 45.0
ALWAYS: Final = {"TickglassWatchdog", "TickglassSchedulerDown"}  # nothing is up until something is scraped
BLOCKED: Final = (
    "TickglassJobNotSucceeding",
    "TickglassJobLeftOut",
    "TickglassJobMissedRun",
)  # of a job that cannot run
LATE: Final = {
    "TickglassJobStartsLate",
    "TickglassOnTimeBudgetBurnFast",
    "TickglassOnTimeBudgetBurnSlow",
    "TickglassSchedulerStalled",
    "TickglassReplicaStalled",
    "TickglassSchedulerNotReady",
}


def shortened(rules: str) -> str:
    """Return the rules with every window, interval and `for` sixty times shorter."""

    def shorter(match: re.Match[str]) -> str:
        return f"{match[1]}{int(match[2]) * {'s': 1, 'm': 60, 'h': 3600}[match[3]] * 1000 // SHORTER}ms{match[4]}"

    return re.sub(r"(\[|for: |offset |interval: )(\d+)([smh])(\]|\)|$)", shorter, rules, flags=re.MULTILINE)


class Watch:
    """A Prometheus with the rules and an Alertmanager; targets may be added while they run."""

    def __init__(self, home: Path, webhook: Webhook, running: ExitStack) -> None:
        self.webhook = webhook
        self._targets = home / "targets.yml"
        self._addresses: list[str] = []
        self.scrape()
        (home / "rules.yml").write_text(
            shortened(files(RuleScope(), Links(runbooks="https://wiki.example.com"))[RULES])
        )
        config = alertmanager(RuleScope())
        quick = {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
        for route in (config["route"], *config["route"]["routes"]):
            route.update(quick)
        for receiver in config["receivers"]:
            receiver["webhook_configs"][0]["url"] = f"{webhook.url}/{receiver['name']}"
        self.alertmanager: Alertmanager = running.enter_context(running_alertmanager(home, yaml.safe_dump(config)))
        prometheus = {
            # As long as windows of two seconds and a busy machine allow: a scrape that takes longer has failed,
            # and every `for` begins anew.
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "300ms"},
            "rule_files": ["rules.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [self.alertmanager.address]}]}]},
            "scrape_configs": [
                {
                    "job_name": "tickglass",
                    "file_sd_configs": [{"files": [str(self._targets)], "refresh_interval": "1s"}],
                }
            ],
        }
        again = "--rules.alert.resend-delay=1s"  # what fired before it knew of the Alertmanager was told to nobody
        self.prometheus = running.enter_context(running_prometheus(home, yaml.safe_dump(prometheus), again))

    def scrape(self, *ports: int | None) -> None:
        """Scrape these loopback ports, too."""
        self._addresses += [f"127.0.0.1:{port}" for port in ports]
        new = self._targets.with_suffix(".new")
        new.write_text(yaml.safe_dump([{"targets": self._addresses}]))
        new.rename(self._targets)

    def told(self, alert: str, **labels: str) -> dict[str, Any]:
        """Wait until somebody was told."""
        return self.webhook.wait_for(alert, patience_s=PATIENCE_S, **labels)

    def told_nothing_but(self, *expected: str) -> None:
        """Fail if somebody was told of more: alerts by name, and by what lock or job they are about."""
        told = set()
        for one in self.webhook.alerts:
            about = [one["labels"][name] for name in ("resource", "job_name") if name in one["labels"]]
            told.add(" ".join([one["labels"]["alertname"], *about]))
        late = {alert for alert in told if alert.split()[0] in LATE}  # true, where a machine is that busy
        assert told - late <= {*expected, *ALWAYS}

    def scraped(self, *ports: int | None) -> None:
        """Wait until each of these was scraped: what is counted from now on is an increase."""
        for port in ports:
            instance = f'{{instance="127.0.0.1:{port}"}}'
            wait_until(lambda i=instance: bool(self.prometheus.query(f"up{i} == 1")), f"{port} is scraped")  # type: ignore[misc]

    def inhibited(self, alert: str, **labels: str) -> bool:
        """Return whether Alertmanager has it, and tells nobody because another one fires."""
        wanted = {"alertname": alert, **labels}.items()
        return any(
            bool(one["status"]["inhibitedBy"]) for one in self.alertmanager.alerts() if wanted <= one["labels"].items()
        )


@pytest.fixture
def watch(tmp_path: Path, webhook: Webhook) -> Iterator[Watch]:
    with ExitStack() as running:
        yield Watch(tmp_path, webhook, running)


def test_a_job_that_fails_a_full_pool_and_what_events_tell(live: LiveStage, watch: Watch, tmp_path: Path) -> None:
    let_go = threading.Event()
    failing = Scheduler("memory://", service="failing", metrics="127.0.0.1:0", spool=tmp_path / "failing")
    blocked = Scheduler("memory://", service="blocked", metrics="127.0.0.1:0", workers=1, spool=tmp_path / "blocked")

    @failing.job(every("300ms"))
    def fails() -> None:
        raise RuntimeError("on purpose")

    def waits() -> None:
        let_go.wait()

    for name in ("one", "two"):  # more than there are workers: the other stays in the queue
        blocked.add(waits, every("1s"), name=name, misfire_grace="1h")
    live.register("nightly", resource="stuck", timeout_ns=SECOND)
    live.register("weekly", resource="alone", timeout_ns=SECOND)
    with failing, blocked, ExitStack() as ending:
        ending.callback(let_go.set)
        watch.scrape(live.server.port, failing.metrics_port, blocked.metrics_port)
        watch.scraped(live.server.port, failing.metrics_port, blocked.metrics_port)
        for resource in ("stuck", "alone"):
            lock = live.lock(resource)
            lock.fire(LockEvent.REQUESTED)
            lock.fire(LockEvent.GRANTED, fence=live.next_fence())
        live.lock("stuck").fire(LockEvent.REQUESTED)
        live.sink.record(ClockStepped(step_ns=-SECOND, wall_ns=live.clock.wall_ns()))
        rejected = FencingRejected(
            resource="alone", owner="o", service="s", job="", run_id="", fence=1, newest=2, wall_ns=live.clock.wall_ns()
        )
        live.sink.record(rejected)
        assert watch.told("TickglassWatchdog")["receiver"] == "deadman"
        assert watch.told("TickglassClockStepped", direction="back")["receiver"] == "office"
        fenced = watch.told("DistributedLockFencingRejected", resource="alone")
        assert fenced["receiver"] == "pager"
        assert fenced["annotations"]["runbook_url"] == "https://wiki.example.com/DistributedLockFencingRejected.md"
        watch.told("DistributedLockStuckBlocking", resource="stuck")
        watch.told("DistributedLockStuck", resource="alone")
        watch.told("TickglassJobNotSucceeding", job_name="fails")
        wait_until(lambda: watch.inhibited("DistributedLockStuck", resource="stuck"), "the same trouble is told once")
        wait_until(lambda: watch.inhibited("TickglassJobFailing", job_name="fails"), "the same trouble is told once")
        assert not watch.inhibited("DistributedLockStuck", resource="alone")  # another's trouble
        saturated = watch.told("TickglassPoolSaturated", pool="default")
        assert saturated["labels"]["instance"] == f"127.0.0.1:{blocked.metrics_port}"
        watch.told_nothing_but(
            *("TickglassClockStepped", "DistributedLockFencingRejected alone", "TickglassPoolSaturated"),
            *("DistributedLockStuckBlocking stuck", "DistributedLockStuck stuck", "DistributedLockStuck alone"),
            *("DistributedLockRenewalsStalled stuck", "DistributedLockRenewalsStalled alone"),  # if this takes long
            *("TickglassJobFailing fails", "TickglassJobNotSucceeding fails"),
            *(f"{alert} {job}" for job in ("one", "two") for alert in BLOCKED),
        )


def test_a_store_that_stands_still_and_one_that_is_gone(
    watch: Watch, own_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    server = own_redis()
    scheduler = Scheduler(server.url, metrics="127.0.0.1:0", spool=tmp_path / "spool")
    scheduler.add(lambda: None, every("200ms"), name="asks")  # every few of our seconds, sixty times shorter, too

    with scheduler:
        watch.scrape(scheduler.metrics_port)
        watch.scraped(scheduler.metrics_port)
        # By that measure a TTL of eight minutes; tests/alerts/test_renewals_stalled.py has the usual one.
        lease = scheduler.lock("ledger", ttl="8s")
        lease.acquire()
        server.kill(signal.SIGSTOP)
        stalled = watch.told("DistributedLockRenewalsStalled", resource="ledger")
        assert stalled["receiver"] == "pager"
        server.kill(signal.SIGCONT)
        server.kill()
        watch.told("DistributedLockStoreErrors", backend="redis")
        watch.told_nothing_but(
            *(
                "DistributedLockRenewalsStalled ledger",
                "DistributedLockLeaseExpired ledger",
                "DistributedLockStoreErrors",
            ),
            *(f"{alert} asks" for alert in BLOCKED),
        )
        server.start()


def test_a_holder_that_is_killed_and_no_scheduler_left_to_scrape(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "fleet").mkdir()
    with running_fleet(tmp_path / "fleet") as fleet:
        first = fleet.start("hold", ttl="2s").running()
        first.occurrence("hold", "started")
        second = fleet.start("hold", ttl="2s").running()
        watch.scrape(first.port, second.port)
        watch.scraped(first.port, second.port)
        first.signal(signal.SIGKILL)
        watch.told("DistributedLockLeaseExpired", resource="fleet/hold")
        second.occurrence("hold", "started", attempt=2)
        fleet.freeze(second)
        assert watch.told("TickglassSchedulerDown")["receiver"] == "pager"
        watch.told_nothing_but(
            *("DistributedLockLeaseExpired fleet/hold", "TickglassJobFailing hold"),
            *(f"{alert} hold" for alert in BLOCKED),
        )


def test_a_holder_that_is_frozen_as_a_sidecar_sees_it(
    watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fleet").mkdir()
    monkeypatch.setenv("TICKGLASS_SIDECAR", f"unix://{tmp_path / 's.sock'}")
    with ExitStack() as running:
        beside = Sidecar(tmp_path / "s.sock")
        running.callback(beside.end)
        fleet = running.enter_context(running_fleet(tmp_path / "fleet"))
        instance = fleet.start("hold", ttl="4s").running()
        instance.occurrence("hold", "started")
        watch.scrape(beside.port)
        connected(beside, instance)
        watch.scraped(beside.port)
        fleet.freeze(instance)
        watch.told("DistributedLockRenewalsStalled", resource="fleet/hold")
        stalled = watch.told("TickglassSchedulerStalled", owner=instance.owner, service="fleet")
        assert stalled["annotations"]["description"].startswith(f"The timeline of {instance.owner} at 127.0.0.1:")
        instance.signal(signal.SIGKILL)
        assert watch.told("TickglassServiceDown", service="fleet")["receiver"] == "pager"
        watch.told_nothing_but(
            *("DistributedLockRenewalsStalled fleet/hold", "TickglassServiceDown"),
            *(f"{alert} hold" for alert in BLOCKED),
        )
