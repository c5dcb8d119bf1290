"""Run the cells, each in a process of its own, round after round."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workloads.__main__ import UNSUPPORTED
from workloads.cell import Absent, Cell, Place, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from measuring.plan import Group
    from measuring.redis_server import RedisServer

__all__ = ["CellFailed", "Runner", "ordered", "run_rounds"]

BENCH: Final = Path(__file__).resolve().parents[1]
DEADLINE_S: Final = 60.0  # beside the window: a start of 100,000 jobs takes long
ERROR_CHARACTERS: Final = 2_000
# Settings of the one who measures: cells are measured with the defaults. What one process has compiled, the others
# read; else a heap in which modules were compiled would be compared with one in which they were not.
SETTINGS: Final = ("TICKGLASS_", "OTEL_", "PYTHON")


class CellFailed(Exception):  # noqa: N818 - what happened
    """A cell ended with an error: what was measured would not mean what its name says."""


class Runner:
    """Measures cells.

    Args:
        server: the Redis server that cells may use; None: cells on Redis are left out.
        before: the folder of the older checkout; or why there is none.

    Attributes:
        errors: what cells said that ended with an error. The run goes on, because it takes long.
    """

    def __init__(self, server: RedisServer | None, before: Path | Absent) -> None:
        self._server = server
        self._before = before
        self._given_up: dict[str, Absent] = {}
        self.errors: list[str] = []

    def measure(self, cell: Cell) -> Result | Absent:
        """Return what a cell measured, in a new process, on empty stores.

        A cell that failed, or took too long, is not tried again.
        """
        if cell.name in self._given_up:
            return self._given_up[cell.name]
        if cell.store == "redis" or cell.workload == "lock":
            if self._server is None:
                return Absent("redis-server is not installed")
            self._server.client.flushall()
        if cell.before and isinstance(self._before, Absent):
            return self._before
        with tempfile.TemporaryDirectory(prefix="tickglass-bench-") as home:
            answer = self._tried(cell, Place(home, 0 if self._server is None else self._server.port))
        if isinstance(answer, Absent):
            self._given_up[cell.name] = answer
        return answer

    def _tried(self, cell: Cell, place: Place) -> Result | Absent:
        try:
            return self._answer(cell, place)
        except CellFailed as failed:
            self.errors.append(str(failed))
            return Absent("ended with an error")

    def _answer(self, cell: Cell, place: Place) -> Result | Absent:
        command = [sys.executable, "-m", "workloads", cell.to_json(), place.to_json()]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment(cell),
            start_new_session=True,  # so that its own children can be ended with it
        )
        try:
            out, error = process.communicate(timeout=DEADLINE_S + cell.window_s)
        except subprocess.TimeoutExpired:
            return Absent(f"took more than {DEADLINE_S:.0f} s", too_slow=True)
        finally:
            with suppress(ProcessLookupError):  # all of its children ended before it, as they should
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.returncode == UNSUPPORTED:
            return Absent(out.strip())
        if process.returncode:
            raise CellFailed(f"{cell.name} ended with {process.returncode}:\n{error[-ERROR_CHARACTERS:]}")
        result = Result.from_json(out)
        self._check_source(cell, result)
        return result

    def _environment(self, cell: Cell) -> dict[str, str]:
        path = [str(BENCH)]
        if cell.before and isinstance(self._before, Path):
            path.append(str(self._before / "src"))
        kept = {key: value for key, value in os.environ.items() if not key.startswith(SETTINGS)}
        return kept | {"PYTHONPATH": os.pathsep.join(path), "PYTHONSAFEPATH": "1"}

    def _check_source(self, cell: Cell, result: Result) -> None:
        """Refuse a result of the wrong code, and a peer that had ours in its process."""
        ours = cell.subject.startswith("tickglass")
        root = self._before if cell.before and isinstance(self._before, Path) else BENCH.parent
        expected = str((root / "src" / "tickglass").resolve()) if ours else ""
        if result.source != expected:
            raise CellFailed(
                f"{cell.name} measured {result.source or 'no tickglass'}, not {expected or 'a peer alone'}"
            )


def ordered(group: Group, number: int) -> Sequence[Cell]:
    """Return the cells of a group in the order of this round: forwards, backwards, and so on.

    What warms up or slows down over a round then favours no subject.
    """
    return group.cells if number % 2 == 0 else tuple(reversed(group.cells))


def run_rounds(
    runner: Runner, groups: Sequence[Group], rounds: int, tell: Callable[[int, Cell], None]
) -> list[dict[str, Result | Absent]]:
    """Measure all groups, once in each round.

    Args:
        tell: called before each cell with the number of the round.
    """
    results: list[dict[str, Result | Absent]] = []
    for number in range(rounds):
        results.append({})
        for group in groups:
            if group.rounds_max is not None and number >= group.rounds_max:
                continue
            for cell in ordered(group, number):
                tell(number, cell)
                results[-1][cell.name] = runner.measure(cell)
    return results
