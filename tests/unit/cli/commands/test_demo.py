"""`tickglass demo`: a line per event in a pipe, a table on a terminal, nothing left behind."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import socket
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unit.cli.conftest import Tickglass

TICKGLASS: Final = str(Path(sys.executable).with_name("tickglass"))
PATIENCE_S: Final = 60.0
JOBS: Final = ("tick", "report", "flaky", "overruns", "invoices", "labels")
DRAINED: Final = "Drained: every run ended, every lease was released."


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """Temporary folders of our own; nothing is exported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    own = {"TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PYTHONSAFEPATH": "1", "TERM": "xterm"}
    return kept | own


def folders(home: Path) -> list[Path]:
    return list(home.glob("tickglass-demo-*"))


def test_without_a_terminal_there_is_a_line_per_event(tmp_path: Path, environment: Mapping[str, str]) -> None:
    command = [TICKGLASS, "demo", "--seconds", "3", "--metrics-port", "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1] == DRAINED
    assert re.search(
        r"^tickglass demo · sqlite:///\S+/jobs\.db · http://127\.0\.0\.1:\d+/metrics$", done.stdout, re.MULTILINE
    )
    day = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "
    for line in (
        r"run  tick +started",
        r"run  tick +ended success late \S+ ms",
        r"run  flaky +ended failure ConnectionError: the upstream hung up late \S+ ms",
        r"lock tick +requested for tick",
        r"lock tick +granted for tick fence \d+",
        r"lock tick +released for tick fence \d+",
        r"lock printer +granted for (invoices|labels) fence \d+",
    ):
        assert re.search(day + line, done.stdout, re.MULTILINE), line
    assert folders(tmp_path) == []


def on_a_terminal(environment: Mapping[str, str], *, width: int, lines: int) -> str:
    """Return what the demo drew on a terminal of this size, in a second."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", lines, width, 0, 0))
    command = [TICKGLASS, "demo", "--seconds", "1", "--metrics-port", "0"]
    with subprocess.Popen(command, env=environment, stdin=its, stdout=its, stderr=its) as process:
        os.close(its)
        seen = b""
        with suppress(OSError):  # so ends a terminal
            while chunk := os.read(ours, 65_536):
                seen += chunk
        assert process.wait(PATIENCE_S) == 0
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert "Traceback" not in text
    assert text.rstrip().endswith(DRAINED)
    return text


def test_on_a_terminal_a_table_shows_the_jobs(tmp_path: Path, environment: Mapping[str, str]) -> None:
    text = on_a_terminal(environment, width=200, lines=40)
    for words in (*JOBS, "trigger", "next due", "last outcome", "late p99", "held for", "printer", 'every("100ms")'):
        assert words in text, words
    assert "success" in text
    assert folders(tmp_path) == []


def test_on_a_narrow_terminal_nothing_is_cut(environment: Mapping[str, str]) -> None:
    text = on_a_terminal(environment, width=80, lines=24)
    for words in (*JOBS, "next due", "outcome", "late p50", "late p99", "holder", "held for", "success"):
        assert words in text, words
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_a_port_in_use_is_a_message_and_nothing_is_left(tmp_path: Path, environment: Mapping[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [TICKGLASS, "demo", "--seconds", "2", "--metrics-port", str(taken.getsockname()[1])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: cannot listen on this address: Address already in use\n")
    assert folders(tmp_path) == []


@pytest.mark.parametrize("seconds", ["1e12", "inf"])
def test_a_demo_longer_than_a_duration_can_be_is_refused(seconds: str, tickglass: Tickglass) -> None:
    result = tickglass("demo", "--seconds", seconds)
    assert result.exit_code == 2
    assert "is not in the range 0.1<=x<=3153600000.0" in result.output
