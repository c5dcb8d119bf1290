"""Six faults for real, seen by a real Prometheus at its usual 15 s with the rules as exported: `make live`.

Takes about eleven minutes, prints when which alert fired, and ends with 1 if a fault was not told of, was told of with
the wrong severity, or if anything else was. Beside the faults two replicas are well all the time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml
from kit.processes import wait_until
from kit.servers import RedisServer, running_prometheus
from live.test_sidecar import Sidecar

from tickglass.alerts import INHIBITIONS, Links, RuleScope, files
from tickglass.alerts.export import RULES
from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.servers import Prometheus

APP: Final = Path(__file__).with_name("live_app.py")
SCRAPE_S: Final = 15
ON_TIME_S: Final = 1.0  # as `--on-time` has it: the machine may be busy, and that is not the fault
WELL_S: Final = 75  # before the first fault: rates need two scrapes
OUTAGE_S: Final = 60
WATCHED_S: Final = 510  # from the first fault on
CLOCK: Final = SystemClock()


@dataclass(frozen=True)
class Expected:
    """What must be told of a fault, about which label; and what may be, while it is inhibited."""

    fault: str
    alert: str
    severity: str
    about: tuple[str, str]
    may: tuple[str, ...] = ()

    @property
    def is_cause(self) -> bool:
        """Whether what may fire is inhibited, so that it may not outlast it."""
        return self.severity == "critical" and self.alert != "TickglassJobNotSucceeding"

    def services(self, labels: dict[str, str]) -> set[str]:
        """Return the services that suffer; a target that is down does not name its own."""
        return {labels["service"]} if "service" in labels else {"two", "cold"}


_LEFT: Final = ("DistributedLockLeaseExpired", "DistributedLockRenewalsStalled")  # of a replica that held a lock


def inhibited_by(cause: str) -> tuple[str, ...]:
    return tuple(target for one in INHIBITIONS if one.source == cause for target in one.targets)


class Process:
    """One scheduler."""

    def __init__(self, home: Path, service: str, owner: str, store: str, kind: str = "well", sidecar: str = "") -> None:
        command = [sys.executable, str(APP), service, owner, store, kind]
        environment = {**os.environ, **({"TICKGLASS_SIDECAR": sidecar} if sidecar else {})}
        self.service = service
        with (home / f"{owner}.log").open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        self.target = f"127.0.0.1:{int(self._process.stdout.readline())}"

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def started(home: Path, running: ExitStack) -> RedisServer:
    home.mkdir()
    server = RedisServer(home)
    running.callback(server.end)
    server.start()
    return server


def after(seconds: float) -> None:
    CLOCK.wait(CLOCK.monotonic_ns() + int(seconds * SECOND), Wake())


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def prometheus_config(home: Path, targets: list[str], sidecar: str) -> str:
    jobs = {"tickglass": targets, "tickglass-sidecar": [sidecar]}
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
            "rule_files": [str(home / RULES)],
            "scrape_configs": [
                {"job_name": job, "honor_labels": True, "static_configs": [{"targets": found}]}
                for job, found in jobs.items()
            ],
        }
    )


def fired(prometheus: Prometheus, since_s: int) -> Iterator[tuple[float, float, dict[str, str]]]:
    """Yield first and last instant, and labels, of all alerts that fired, in order."""
    firing = 'timestamp(ALERTS{alertstate="firing",severity!="none"})'
    found: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for kind in ("min", "max"):
        for one in prometheus.query(f"{kind}_over_time({firing}[{since_s}s:5s])"):
            found.setdefault(tuple(sorted(one["metric"].items())), []).append(float(one["value"][1]))
    for labels, (first, last) in sorted(found.items(), key=lambda item: item[1]):
        yield first, last, dict(labels)


def wrong(alerts: list[tuple[float, float, dict[str, str]]], expected: list[Expected]) -> Iterator[str]:
    """Yield what should not have been so."""
    explained: list[dict[str, str]] = []
    for one in expected:
        name, value = one.about
        causes = [each for each in alerts if each[2]["alertname"] == one.alert and each[2].get(name) == value]
        if not causes:
            yield f"{one.fault}: {one.alert} did not fire for {name}={value}"
            continue
        begins, ends, labels = causes[0]
        explained += [each[2] for each in causes]
        if labels["severity"] != one.severity:
            yield f"{one.fault}: {one.alert} is {labels['severity']}"
        for first, last, other in alerts:
            if other["alertname"] in one.may and other.get("service") in one.services(labels):
                explained.append(other)
                if one.is_cause and (first < begins or last > ends + SCRAPE_S):
                    yield f"{one.fault}: {other['alertname']} fired while {one.alert} did not"
    for _, __, labels in alerts:
        if labels not in explained:
            yield f"not expected: {labels}"


def expectations(killed: Process, frozen: Process) -> list[Expected]:
    store, pool = "DistributedLockStoreErrors", "TickglassPoolDelaysJobs"
    return [
        Expected("a replica of two is killed", "TickglassTargetDown", "warning", ("instance", killed.target), _LEFT),
        Expected("a replica of two is frozen", "TickglassTargetDown", "warning", ("instance", frozen.target), _LEFT),
        Expected(
            "a replica beside a sidecar is frozen", "TickglassReplicaStalled", "warning", ("owner", "beside-1"), _LEFT
        ),
        Expected(
            "a job fails, one of its name is well elsewhere",
            "TickglassJobNotSucceeding",
            "critical",
            ("service", "mail"),
            ("TickglassJobFailing",),
        ),
        Expected("a full pool", pool, "critical", ("service", "full"), inhibited_by(pool)),
        Expected(
            "Redis is away for a minute",
            store,
            "critical",
            ("service", "outage"),
            (*inhibited_by(store), "TickglassOutcomesDropped"),
        ),
    ]


def main() -> int:
    with ExitStack() as running, tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / RULES).write_text(files(RuleScope(on_time_s=ON_TIME_S), Links())[RULES])
        shared, own = (started(home / name, running) for name in ("shared", "own"))
        sidecar = Sidecar(home / "s.sock")
        running.callback(sidecar.end)

        def start(service: str, owner: str, store: str, kind: str = "well", *, beside: bool = False) -> Process:
            stream = f"unix://{home / 's.sock'}" if beside else ""
            process = Process(home, service, owner, store, kind, stream)
            running.callback(process.end)
            return process

        well = [start("billing", f"billing-{number}", shared.url) for number in (1, 2)]
        two = [start("two", f"two-{number}", shared.url) for number in (1, 2)]
        cold = [start("cold", f"cold-{number}", shared.url) for number in (1, 2)]
        beside = [start("beside", f"beside-{number}", shared.url, beside=True) for number in (1, 2)]
        mail, full = start("mail", "mail-1", shared.url, "fails"), start("full", "full-1", shared.url, "full")
        outage = start("outage", "outage-1", own.url)
        targets = [one.target for one in (*well, *two, *cold, mail, full, outage)]
        began_ns = CLOCK.monotonic_ns()
        config = prometheus_config(home, targets, f"127.0.0.1:{sidecar.port}")
        prometheus = running.enter_context(running_prometheus(home, config))
        wait_until(lambda: len(prometheus.query("up == 1")) == len(targets) + 1, "all are scraped")
        after(WELL_S)
        say("faults begin")
        two[0].signal(signal.SIGKILL)
        cold[0].signal(signal.SIGSTOP)
        beside[0].signal(signal.SIGSTOP)
        own.kill(signal.SIGSTOP)
        after(OUTAGE_S)
        own.kill(signal.SIGCONT)
        after(WATCHED_S - OUTAGE_S)
        since_s = (CLOCK.monotonic_ns() - began_ns) // SECOND
        alerts = list(fired(prometheus, since_s))
        zero_s = min((first for first, _, __ in alerts), default=0)
        for first, last, labels in alerts:
            about = " ".join(labels[name] for name in ("service", "owner", "job_name", "instance") if name in labels)
            when = f"+{first - zero_s:4.0f} s to +{last - zero_s:4.0f} s"
            say(f"{when}  {labels['severity']:8} {labels['alertname']} {about}")
        found = list(wrong(alerts, expectations(two[0], cold[0])))
    for text in found:
        say(f"WRONG: {text}")
    say(f"six faults, {len(found)} wrong, {since_s} s")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
