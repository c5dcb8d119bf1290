"""Nine faults for real, seen by a real Prometheus at its usual 15 s with the rules as exported: `make live`.

Takes about eleven minutes, prints when which alert fired, and ends with 1 if a fault was not told of, was told of with
the wrong severity, or if anything else was. Beside the faults two replicas are well all the time. With names of
services as arguments, only their faults are made: `make live ARGS="forgot ends"`.
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
    from collections.abc import Iterator, Mapping, Sequence

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


def expectations(target_of: Mapping[str, str]) -> dict[str, Expected]:
    """Return what each fault must bring about, by its service.

    Args:
        target_of: where the first scheduler of a service is scraped, by the service.
    """
    store, pool, down = "DistributedLockStoreErrors", "TickglassPoolDelaysJobs", "TickglassTargetDown"
    return {
        "two": Expected("a replica of two is killed", down, "warning", ("instance", target_of.get("two", "")), _LEFT),
        "cold": Expected("a replica of two is frozen", down, "warning", ("instance", target_of.get("cold", "")), _LEFT),
        "beside": Expected(
            "a replica beside a sidecar is frozen", "TickglassReplicaStalled", "warning", ("owner", "beside-1"), _LEFT
        ),
        "gone": Expected(
            "a replica beside a sidecar is killed", "TickglassReplicaGone", "warning", ("owner", "gone-1"), _LEFT
        ),
        "forgot": Expected("Redis is emptied", "TickglassStoreForgot", "warning", ("service", "forgot"), _LEFT),
        "ends": Expected("a trigger ends quietly", "TickglassJobTriggerEnded", "warning", ("service", "ends")),
        "mail": Expected(
            "a job fails, one of its name is well elsewhere",
            "TickglassJobNotSucceeding",
            "critical",
            ("service", "mail"),
            ("TickglassJobFailing",),
        ),
        "full": Expected("a full pool", pool, "critical", ("service", "full"), inhibited_by(pool)),
        "outage": Expected(
            "Redis is away for a minute",
            store,
            "critical",
            ("service", "outage"),
            (*inhibited_by(store), "TickglassOutcomesDropped"),
        ),
    }


REPLICAS: Final = {  # of each service: what kind of scheduler, and how many
    "billing": ("well", 2),
    "two": ("well", 2),
    "cold": ("well", 2),
    "beside": ("well", 2),
    "gone": ("well", 2),
    "mail": ("fails", 1),
    "full": ("full", 1),
    "forgot": ("well", 1),
    "ends": ("ends", 1),
    "outage": ("well", 1),
}
BESIDE_A_SIDECAR: Final = ("beside", "gone")
ON_THEIR_OWN_STORE: Final = ("forgot", "outage")


def make_faults(fleet: Mapping[str, list[Process]], stores: Mapping[str, RedisServer]) -> None:
    """Make the faults of these services, all at once; returns when the outage is over."""
    for service, how in (
        ("two", signal.SIGKILL),
        ("cold", signal.SIGSTOP),
        ("beside", signal.SIGSTOP),
        ("gone", signal.SIGKILL),
    ):
        if service in fleet:
            fleet[service][0].signal(how)
    stores["forgot"].say("FLUSHALL")
    stores["outage"].kill(signal.SIGSTOP)
    after(OUTAGE_S)
    stores["outage"].kill(signal.SIGCONT)


def main(only: Sequence[str]) -> int:
    wanted = {"billing", *(only or REPLICAS)}
    with ExitStack() as running, tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / RULES).write_text(files(RuleScope(on_time_s=ON_TIME_S), Links())[RULES])
        shared, *own = (started(home / name, running) for name in ("shared", *ON_THEIR_OWN_STORE))
        stores = dict(zip(ON_THEIR_OWN_STORE, own, strict=True))
        sidecar = Sidecar(home / "s.sock")
        running.callback(sidecar.end)

        def start(service: str, number: int) -> Process:
            stream = f"unix://{home / 's.sock'}" if service in BESIDE_A_SIDECAR else ""
            store, kind = stores.get(service, shared).url, REPLICAS[service][0]
            process = Process(home, service, f"{service}-{number}", store, kind, stream)
            running.callback(process.end)
            return process

        fleet = {
            service: [start(service, number + 1) for number in range(count)]
            for service, (_, count) in REPLICAS.items()
            if service in wanted
        }
        targets = [one.target for service in fleet if service not in BESIDE_A_SIDECAR for one in fleet[service]]
        began_ns = CLOCK.monotonic_ns()
        config = prometheus_config(home, targets, f"127.0.0.1:{sidecar.port}")
        prometheus = running.enter_context(running_prometheus(home, config))
        wait_until(lambda: len(prometheus.query("up == 1")) == len(targets) + 1, "all are scraped")
        after(WELL_S)
        say("faults begin")
        make_faults(fleet, stores)
        after(WATCHED_S - OUTAGE_S)
        since_s = (CLOCK.monotonic_ns() - began_ns) // SECOND
        alerts = list(fired(prometheus, since_s))
        zero_s = min((first for first, _, __ in alerts), default=0)
        for first, last, labels in alerts:
            about = " ".join(labels[name] for name in ("service", "owner", "job_name", "instance") if name in labels)
            when = f"+{first - zero_s:4.0f} s to +{last - zero_s:4.0f} s"
            say(f"{when}  {labels['severity']:8} {labels['alertname']} {about}")
        expected = expectations({service: found[0].target for service, found in fleet.items()})
        found = list(wrong(alerts, [one for service, one in expected.items() if service in fleet]))
    for text in found:
        say(f"WRONG: {text}")
    say(f"{len(fleet) - 1} faults, {len(found)} wrong, {since_s} s")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
