"""README's example runs as it was pasted, twice at once in one folder, and the commands beside it find what it did."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from kit.processes import PATIENCE_S, TICKGLASS, Answer, wait_until
from kit.servers import reading

if TYPE_CHECKING:
    import queue
    from collections.abc import Iterator

README: Final = Path(__file__).parents[2] / "README.md"
SERVED: Final = re.compile(r"metrics are served at http://localhost:(\d+)/metrics")
LINES_MAX: Final = 25  # of a log that a person reads: a job every 100 ms makes 10 runs a second


class Terminal:
    """One `tickglass run app:scheduler`."""

    def __init__(self, process: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
        self.process = process
        self._lines = lines
        self.log: list[str] = []
        self.port = 0
        while not self.port:
            line = self._lines.get(timeout=PATIENCE_S)
            assert line is not None, self.log
            self.log.append(line)
            if served := SERVED.search(line):
                self.port = int(served[1])

    def end(self) -> int:
        """Press Ctrl-C; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(PATIENCE_S)
        while (line := self._lines.get(timeout=PATIENCE_S)) is not None:
            self.log.append(line)
        return code


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    ours = ("OTEL_", "TICKGLASS_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "XDG_RUNTIME_DIR": str(tmp_path)
    }


@contextmanager
def terminal(home: Path, environment: dict[str, str]) -> Iterator[Terminal]:
    command = [TICKGLASS, "run", "app:scheduler"]
    with (
        (home / "printed.txt").open("a") as printed,
        subprocess.Popen(
            command, cwd=home, env=environment, stdout=printed, stderr=subprocess.PIPE, text=True
        ) as process,
        reading(process) as lines,
    ):
        yield Terminal(process, lines)


def test_the_example_runs_as_pasted_twice_at_once(tmp_path: Path, environment: dict[str, str]) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "app.py").write_text(example)

    def typed(*words: str) -> str:
        done = subprocess.run(
            [TICKGLASS, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def printed() -> list[str]:
        return (tmp_path / "printed.txt").read_text().splitlines()

    with ExitStack() as running:
        first, second = (running.enter_context(terminal(tmp_path, environment)) for _ in range(2))
        assert first.port != second.port
        wait_until(lambda: len(printed()) >= 2, "two reconciliations")
        for one in (first, second):
            assert 'tickglass_job_due_total{job_name="inventory_sync",' in Answer(one.port, "/metrics").text
        assert {"inventory_sync", "reconcile"} <= set(typed("jobs").split())
        assert "ledger:eu" in typed("jobs")
        typed("locks")
        assert "success" in typed("runs", "--job", "inventory_sync")
        assert "reconcile (billing) was due" in typed("why", "reconcile")
        assert (first.end(), second.end()) == (0, 0)
    assert len(set(printed())) == len(printed()), "each due instant runs once, in one of them"
    for one in (first, second):
        text = "".join(one.log)
        assert "Traceback" not in text
        assert "Error" not in text
        assert "everybody who reaches" not in text
        assert len(one.log) < LINES_MAX, text


def test_the_installation_is_what_a_reader_sees_first() -> None:
    commands = re.findall(r"^\$ (.*)$", README.read_text(), re.MULTILINE)
    assert commands[0] == "pip install tickglass"
