"""`tickglass demo`: a line per event in a pipe, a table on a terminal, nothing left behind."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unit.cli.conftest import Tickglass

TICKGLASS: Final = str(Path(sys.executable).with_name("tickglass"))
PATIENCE_S: Final = 60.0
JOBS: Final = ("tick", "report", "flaky", "overruns", "invoices", "labels")
DEMO: Final = (TICKGLASS, "demo", "--seconds", str(PATIENCE_S), "--metrics-port", "0")
DRAINED: Final = "Drained: every run ended, every lease was released."


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """Temporary folders of our own; nothing is exported, and nothing said about the size of a terminal."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "COLUMNS", "LINES"))}
    own = {"TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PYTHONSAFEPATH": "1", "TERM": "xterm"}
    return kept | own


def folders(home: Path) -> list[Path]:
    return list(home.glob("tickglass-demo-*"))


def test_without_a_terminal_there_is_a_line_per_event(tmp_path: Path, environment: Mapping[str, str]) -> None:
    day = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "
    wanted = {
        r"^tickglass demo · sqlite:///\S+/jobs\.db · http://127\.0\.0\.1:\d+/metrics$",
        day + r"run  tick +started",
        day + r"run  tick +ended success late \S+ ms",
        day + r"run  flaky +ended failure ConnectionError: the upstream hung up late \S+ ms",
        day + r"lock demo/tick +requested for tick",
        day + r"lock demo/tick +granted for tick fence \d+",
        day + r"lock demo/tick +released for tick fence \d+",
        day + r"lock printer +granted for (invoices|labels) fence \d+",
    }
    with subprocess.Popen(DEMO, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = ""
        for line in process.stdout:
            if wanted and not (wanted := {pattern for pattern in wanted if not re.search(pattern, line)}):
                process.send_signal(signal.SIGTERM)
        assert wanted == set()
        assert line == f"{DRAINED}\n"
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert folders(tmp_path) == []


def on_a_terminal(environment: Mapping[str, str], *words: str, width: int, lines: int) -> str:
    """Return what the demo draws on a terminal of this size until all the words are there and it is asked to end."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", lines, width, 0, 0))
    with subprocess.Popen(DEMO, env=environment, stdin=its, stdout=its, stderr=its) as process:
        os.close(its)
        seen, wanted = b"", set(words)
        with suppress(OSError):  # so ends a terminal
            while chunk := os.read(ours, 65_536):
                seen += chunk
                if wanted and not (wanted := {word for word in wanted if word not in text_of(seen)}):
                    process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    os.close(ours)
    assert wanted == set()
    text = text_of(seen)
    assert "Traceback" not in text
    assert text.rstrip().endswith(DRAINED)
    return text


def text_of(drawn: bytes) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode(errors="replace"))


def test_on_a_terminal_a_table_shows_the_jobs(tmp_path: Path, environment: Mapping[str, str]) -> None:
    words = (*JOBS, "trigger", "next due", "last outcome", "late p99", "held for", "printer", 'every("100ms")')
    on_a_terminal(environment, *words, "success", width=200, lines=40)
    assert folders(tmp_path) == []


def test_on_a_narrow_terminal_nothing_is_cut(environment: Mapping[str, str]) -> None:
    words = (*JOBS, "next due", "outcome", "late p50", "late p99", "holder", "held for", "success")
    text = on_a_terminal(environment, *words, width=80, lines=24)
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_a_demo_ends_by_itself_after_its_seconds(tmp_path: Path, environment: Mapping[str, str]) -> None:
    command = [TICKGLASS, "demo", "--seconds", "0.1", "--metrics-port", "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"{DRAINED}\n")
    assert folders(tmp_path) == []


def test_a_port_in_use_is_a_message_and_nothing_is_left(tmp_path: Path, environment: Mapping[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [TICKGLASS, "demo", "--seconds", "2", "--metrics-port", str(taken.getsockname()[1])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: cannot listen on this address: Address already in use; ")
    assert folders(tmp_path) == []


def test_the_default_port_in_use_ends_no_demo(environment: Mapping[str, str]) -> None:
    with ExitStack() as taken:
        with suppress(OSError):  # another process has it
            taken.enter_context(socket.create_server(("127.0.0.1", 9464)))
        command = [TICKGLASS, "demo", "--seconds", "0.1"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("seconds", ["1e12", "inf"])
def test_a_demo_longer_than_a_duration_can_be_is_refused(seconds: str, tickglass: Tickglass) -> None:
    result = tickglass("demo", "--seconds", seconds)
    assert result.exit_code == 2
    assert "is not in the range 0.1<=x<=3153600000.0" in result.output
