"""Real `tickglass` processes for tests: started, watched by their events and metrics, signalled, ended afterwards."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import (
    ClaimOrphaned,
    InstantsElsewhere,
    InstantsMissed,
    InstantsSkipped,
    OccurrenceMoved,
    SchedulerMoved,
)
from tickglass.sched.ports import Granted, LeaseAsk
from tickglass.sched.stores import open_store
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self

    from tickglass.sched.ports import Store

TICKGLASS: Final = str(Path(sys.executable).with_name("tickglass"))
PATIENCE_S: Final = 60.0  # everything here takes a second or two; the machine may be busy
_CLOCK: Final = SystemClock()
_TOLD: Final = msgspec.json.Decoder(
    OccurrenceMoved | InstantsElsewhere | InstantsMissed | InstantsSkipped | SchedulerMoved | ClaimOrphaned
)
_PORT: Final = b'{"port":'

Labels = frozenset[tuple[str, str]]


def wait_until(true: Callable[[], bool], what: str, *, patience_s: float = PATIENCE_S) -> None:
    """Block until it is, looking every few milliseconds: for what rings no bell, such as another process's metrics."""
    deadline_ns = _CLOCK.monotonic_ns() + int(patience_s * SECOND)
    while not true():
        assert _CLOCK.monotonic_ns() < deadline_ns, what
        _CLOCK.wait(_CLOCK.monotonic_ns() + 20 * MS, Wake())


class Answer:
    """What an HTTP server on the loopback address answers to a GET."""

    def __init__(self, port: int, path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        connection.request("GET", path)
        answer = connection.getresponse()
        self.status, self.text = answer.status, answer.read().decode()
        connection.close()


class Scrape:
    """One scrape of a /metrics page."""

    def __init__(self, port: int) -> None:
        self.text = Answer(port, "/metrics").text
        self._samples: dict[tuple[str, Labels], float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        }

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over the samples that have these labels, others aside."""
        wanted = labels.items()
        return sum(value for (sample, has), value in self._samples.items() if sample == name and wanted <= has)

    def has(self, name: str, **labels: str) -> bool:
        return any(sample == name and labels.items() <= has for sample, has in self._samples)

    @property
    def jobs(self) -> set[str]:
        return {dict(has)["job_name"] for sample, has in self._samples if sample == "tickglass_job_due_total"}

    def assert_the_account_agrees(self) -> None:
        for job in self.jobs:
            ended = self.total("tickglass_job_outcomes_total", job_name=job)
            pending = self.total("tickglass_job_pending", job_name=job)
            assert self.total("tickglass_job_due_total", job_name=job) == ended + pending, job


class Instance:
    """One `tickglass run app:scheduler`, of tests/fleet/app.py."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.told = ListSink()
        self._port = 0
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(_PORT):
                self._port = msgspec.json.decode(line)["port"]
            else:
                self.told.record(_TOLD.decode(line))

    def running(self) -> Self:
        self.moved("running")
        return self

    def moved(self, state: str) -> SchedulerMoved:
        """Wait until the scheduler has come to that state."""
        found = self.told.wait_for(
            lambda event: isinstance(event, SchedulerMoved) and event.after == state, patience_s=PATIENCE_S
        )
        assert isinstance(found, SchedulerMoved)
        return found

    def occurrence(self, job: str, move: str, *, attempt: int = 1) -> OccurrenceMoved:
        """Wait for the first such move of an attempt that came so far."""
        found = self.told.wait_for(
            lambda event: (
                isinstance(event, OccurrenceMoved)
                and (event.job, event.event, event.attempt) == (job, move, attempt)
                and event.fence > 0
            ),
            patience_s=PATIENCE_S,
        )
        assert isinstance(found, OccurrenceMoved)
        return found

    def occurrences(self, move: str) -> list[OccurrenceMoved]:
        """Return the moves of that kind that were told so far."""
        return [event for event in self.told.of(OccurrenceMoved) if event.event == move]

    def get(self, path: str) -> Answer:
        return Answer(self._port, path)

    @property
    def port(self) -> int:
        """Where its metrics are, once it runs."""
        return self._port

    def scrape(self) -> Scrape:
        return Scrape(self._port)

    @property
    def owner(self) -> str:
        return self.running().moved("running").owner

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for its end, and for the last it tells."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def stopped(self) -> int:
        """Ask it to stop; return its exit code."""
        self.signal(signal.SIGTERM)
        return self.exit_code()

    def errors(self) -> str:
        """Return what it wrote to standard error, after its end."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def _end(self) -> None:
        self.process.kill()  # a frozen one, too
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


class Fleet:
    """Instances on one database file in one folder; see `running_fleet`."""

    def __init__(self, home: Path, store: Store, running: ExitStack) -> None:
        self.home = home
        self.store = store
        self._running = running
        self._gates = {number: self._gate(number) for number in (1, 2)}

    def start(
        self, jobs: str, *, ttl: str = "30s", drain: str = "30s", more: Mapping[str, str] | None = None
    ) -> Instance:
        """Start one more; `running()` waits until it runs. The app says what `more` variables it knows."""
        environment = (
            os.environ
            | (more or {})
            | {
                "FLEET_HOME": str(self.home),
                "FLEET_JOBS": jobs,
                "FLEET_TTL": ttl,
                "FLEET_DRAIN": drain,
                "XDG_RUNTIME_DIR": str(self.home),  # slots of our own
                "PYTHONSAFEPATH": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
            }
        )
        process = subprocess.Popen(
            [TICKGLASS, "run", "app:scheduler", "--log-level", "warning"],
            cwd=Path(__file__).parents[1] / "fleet",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        instance = Instance(process)
        self._running.callback(instance._end)
        return instance

    def open_gate(self, attempt: int) -> None:
        """Let that attempt of the `hold` job go on; it may come to the gate later."""
        os.write(self._gates[attempt], b"!")

    def saw(self, attempt: int) -> str:
        """Return what that attempt saw when it went on."""
        return (self.home / f"saw-{attempt}").read_text()

    def end_the_race(self) -> int:
        """Have the 10 ms jobs end soon; return their last due instant."""
        last_ns = (_CLOCK.wall_ns() + SECOND // 2) // (10 * MS) * (10 * MS)
        (self.home / "end.new").write_text(str(last_ns))
        (self.home / "end.new").rename(self.home / "end")
        return last_ns

    def freeze(self, instance: Instance) -> None:
        """Stop a process where it stands, but not in the middle of a write to the file that all share."""
        while True:
            instance.signal(signal.SIGSTOP)
            os.waitid(os.P_PID, instance.process.pid, os.WSTOPPED | os.WNOWAIT)
            probe = LeaseAsk("probe", "test", "test", f"probe-{_CLOCK.monotonic_ns()}", 1)
            try:
                assert isinstance(self.store.acquire(probe), Granted)
            except StoreUnavailable:
                instance.signal(signal.SIGCONT)
            else:
                return

    def _gate(self, number: int) -> int:
        path = self.home / f"gate-{number}"
        os.mkfifo(path)
        descriptor = os.open(path, os.O_RDWR)  # both ends: opening blocks nobody
        self._running.callback(os.close, descriptor)
        return descriptor


@contextmanager
def running_fleet(home: Path) -> Iterator[Fleet]:
    """Return a fleet without instances; those that were started are killed at the end."""
    with ExitStack() as running:
        store = open_store(f"sqlite:///{home / 'jobs.db'}", _CLOCK)
        running.callback(store.close)
        yield Fleet(home, store, running)
