"""Record a history: start the processes, let go wrong what was planned, stop all, and read what they wrote."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from chaos.checker import check
from chaos.faults import SERVERS, Kind, plan
from chaos.history import (
    Claimed,
    Ended,
    Granted,
    History,
    Measured,
    Pen,
    Sampled,
    Setting,
    Written,
    Wrote,
    read_entries,
    read_ledger,
)
from chaos.steering import BlockLoop, Crowd, SetClock
from chaos.worker import RESOURCES, Task

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from chaos.environments import Ground
    from chaos.faults import Fault
    from chaos.history import Violation
    from chaos.steering import Order

__all__ = ["PROCESSES", "Process", "Summary", "record"]

PROCESSES: Final = 8
_CLOCK: Final = SystemClock()
_PATIENCE_NS: Final = 60 * SECOND  # the machine may be busy
_TESTS: Final = Path(__file__).parents[1]
_ENVIRONMENT: Final = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(_TESTS), "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True)
class Summary:
    """What a history says in numbers.

    Args:
        processes: started in all, restarts included.
        seconds: from the first fault's clock to the last fault's end.
        went_on: runs whose code was asked to stop and wrote all the same.
        unready: how often an instance was seen that said that it is not ready.
        measured: what the workers that came to their end counted, and their metrics said alike.
        complaints: what workers wrote to standard error, and exits that were no exits.
    """

    store: str
    processes: int
    seconds: float
    faults: Counter[str]
    grants: int
    takeovers: int
    losses: int
    writes: int
    stale_writes_refused: int
    claims: int
    run_again: int
    went_on: int
    unready: int
    measured: Counter[str]
    violations: list[Violation]
    complaints: list[str] = field(default_factory=list)


class Process:
    """One `python -m`, which ends when its standard input does."""

    def __init__(self, undo: ExitStack, errors: Path, *words: str) -> None:
        with errors.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=_ENVIRONMENT,
            )
        undo.callback(self.kill)
        self._errors = errors

    def ready(self) -> None:
        """Wait until it says so."""
        assert self.hear() == "ready", self._errors.read_text()

    def hear(self) -> str:
        """Return the next line that it writes."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()

    def tell(self, line: str) -> None:
        """Write it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it, however it stands."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def ask_to_end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def ended(self, deadline_ns: int) -> str:
        """Wait for its end; return what is wrong with it, if anything."""
        try:
            code = self._process.wait(max(0.1, (deadline_ns - _CLOCK.monotonic_ns()) / SECOND))
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGABRT)  # it writes down where its threads are, and dies
            self._process.wait()
            return f"did not stop:\n{self._errors.read_text()}"
        return "" if code == 0 else f"exit code {code}"


class _Fleet:
    """The workers, each in its place; a restart takes the place of the killed."""

    def __init__(self, ground: Ground, home: Path, seed: int, undo: ExitStack, *, careless: bool) -> None:
        self._ground = ground
        self._home = home
        self._seed = seed
        self._undo = undo
        self._careless = careless
        self._workers: dict[int, Process] = {}
        self.started = 0

    def start(self, place: int, clock_offset_ns: int = 0) -> None:
        self.started += 1
        task = Task(
            name=f"w{place}.{self.started}",
            owner=f"w{place}",
            url=self._ground.url(place),
            home=str(self._home),
            ttl_ms=self._ground.ttl_ms,
            seed=self._seed * 10_000 + self.started,
            careless=self._careless,
            clock_offset_ns=clock_offset_ns,
        )
        errors = self._home / f"{task.name}.errors"
        self._workers[place] = Process(self._undo, errors, "chaos.worker", msgspec.json.encode(task).decode())

    def ready(self) -> None:
        for worker in self._workers.values():
            worker.ready()

    def begin(self, fault: Fault) -> None:
        match fault.kind:
            case Kind.KILL:
                self._workers[fault.target].kill()
            case Kind.FREEZE:
                self._workers[fault.target].signal(signal.SIGSTOP)
            case Kind.FAST | Kind.SLOW:
                self._workers[fault.target].kill()
                self.start(fault.target, fault.offset_ns)
            case Kind.FORWARD | Kind.BACK:
                self._tell(fault, SetClock(fault.offset_ns))
            case Kind.CROWD:
                self._tell(fault, Crowd(fault.until_ns - fault.from_ns))
            case Kind.BLOCK:
                self._tell(fault, BlockLoop(fault.until_ns - fault.from_ns))
            case _:
                self._ground.begin(fault)

    def end(self, fault: Fault) -> None:
        match fault.kind:
            case Kind.KILL:
                self.start(fault.target)
            case Kind.FREEZE:
                self._workers[fault.target].signal(signal.SIGCONT)
            case Kind.FAST | Kind.SLOW | Kind.FORWARD | Kind.BACK:
                self._tell(fault, SetClock(0))
            case Kind.CROWD | Kind.BLOCK:
                pass  # it has been told how long
            case _:
                self._ground.end(fault)

    def _tell(self, fault: Fault, order: Order) -> None:
        self._workers[fault.target].tell(str(order))

    def stop(self) -> list[str]:
        """Stop all of them; return what was wrong with their ends."""
        for worker in self._workers.values():
            worker.ask_to_end()
        deadline_ns = _CLOCK.monotonic_ns() + _PATIENCE_NS
        ends = [(place, worker.ended(deadline_ns)) for place, worker in self._workers.items()]
        return [f"w{place}: {wrong}" for place, wrong in ends if wrong]


def record(
    ground: Ground, home: Path, *, seed: int, seconds: float, patient: bool = False, careless: bool = False
) -> Summary:
    """Record and check one history.

    Args:
        ground: entered already.
        home: an empty folder; the history stays there.
        seconds: how long things go wrong.
        patient: whether something may be wrong with the servers for some seconds.
        careless: whether holders act without asking whether they may.
    """
    faults = plan(
        f"{ground.name} {seed}",
        workers=PROCESSES,
        of_workers=ground.of_workers,
        of_servers=(*ground.of_servers, *(ground.of_patience if patient else ())),
        span_ns=int(seconds * SECOND),
        ttl_ns=ground.ttl_ms * MS,
    )
    with ExitStack() as undo:
        log = home / "witness.log"
        witness = Process(undo, home / "witness.errors", "chaos.observer", str(home / "witness.sock"), str(log))
        witness.ready()
        fleet = _Fleet(ground, home, seed, undo, careless=careless)
        for place in range(PROCESSES):
            fleet.start(place)
        fleet.ready()
        _await_grants(log, 0)
        began_ns = _CLOCK.monotonic_ns()
        _let_go_wrong(faults, fleet, began_ns)
        healed_ns = _CLOCK.monotonic_ns()
        _await_grants(log, healed_ns)
        complaints = fleet.stop()
        witness.ask_to_end()
        witness.ended(_CLOCK.monotonic_ns() + _PATIENCE_NS)
    _write_ledger(ground, home / "ledger")
    complaints += _errors(home)
    return _summary(ground, home, fleet.started, (healed_ns - began_ns) / SECOND, faults, complaints)


def _let_go_wrong(faults: list[Fault], fleet: _Fleet, began_ns: int) -> None:
    """Begin and end all faults; those of servers aside, for a restart takes its time."""
    moments = [(fault.from_ns, 1, number) for number, fault in enumerate(faults)]
    moments += [(fault.until_ns, 2, number) for number, fault in enumerate(faults)]
    done: list[Future[None]] = []
    with ThreadPoolExecutor(1) as aside:
        for at_ns, order, number in sorted(moments):
            _CLOCK.wait(began_ns + at_ns, Wake())
            do, fault = (fleet.begin if order == 1 else fleet.end), faults[number]
            if fault.target == SERVERS:
                done.append(aside.submit(do, fault))
            else:
                do(fault)
    for future in done:
        future.result()


def _await_grants(log: Path, since_ns: int) -> None:
    """Wait until every resource has been written to since: nothing is stuck."""
    deadline_ns = _CLOCK.monotonic_ns() + _PATIENCE_NS
    while True:
        writes = [entry for entry in read_entries(log) if isinstance(entry, Written) and entry.at_ns >= since_ns]
        missing = set(RESOURCES) - {write.resource for write in writes if write.accepted}
        if not missing:
            return
        assert _CLOCK.monotonic_ns() < deadline_ns, f"nobody gets hold of {sorted(missing)} any more"
        _CLOCK.wait(_CLOCK.monotonic_ns() + 100 * MS, Wake())


def _write_ledger(ground: Ground, path: Path) -> None:
    store = open_store(ground.direct_url, _CLOCK)
    pen = Pen(path)
    for run in store.runs(limit=1_000_000):
        pen.note(run)
    pen.close()
    store.close()


def _errors(home: Path) -> list[str]:
    texts = {file.stem: file.read_text() for file in sorted(home.glob("*.errors"))}
    return [f"{name}: {text.strip()[-2_000:]}" for name, text in texts.items() if "Traceback" in text]


def _summary(
    ground: Ground, home: Path, processes: int, seconds: float, faults: list[Fault], complaints: list[str]
) -> Summary:
    histories = {file.stem: read_entries(file) for file in home.glob("*.history")}
    writes = [entry for entry in read_entries(home / "witness.log") if isinstance(entry, Written)]
    setting = Setting(ground.ttl_ms * MS, _CLOCK.reading().offset_ns, keeps_time=ground.keeps_time)
    history = History(histories, writes, read_ledger(home / "ledger"), votes=ground.votes, setting=setting)
    entries = [entry for entries in histories.values() for entry in entries]
    grants = [entry for entry in entries if isinstance(entry, Granted)]
    claims = [entry for entry in entries if isinstance(entry, Claimed)]
    return Summary(
        store=ground.name,
        processes=processes,
        seconds=seconds,
        faults=Counter(str(fault.kind) for fault in faults),
        grants=len(grants),
        takeovers=sum(1 for grant in grants if grant.took_from),
        losses=sum(1 for entry in entries if isinstance(entry, Ended) and entry.how != "done"),
        writes=sum(1 for write in writes if write.accepted),
        stale_writes_refused=sum(1 for write in writes if not write.accepted),
        claims=len(claims),
        went_on=len({entry.run_id for entry in entries if isinstance(entry, Wrote) and entry.cancelled}),
        unready=sum(1 for entry in entries if isinstance(entry, Sampled) and entry.unready),
        measured=sum((Counter(entry.counts) for entry in entries if isinstance(entry, Measured)), Counter()),
        run_again=sum(1 for claim in claims if claim.attempt > 1),
        violations=check(history),
        complaints=complaints,
    )
