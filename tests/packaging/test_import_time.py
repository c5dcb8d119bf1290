"""`import tickglass` loads what it uses: what takes long to load is loaded by the code that needs it.

By what is loaded in a fresh process, not by time: on a loaded machine any time limit fails or holds nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# What reaches no user who has not asked for it. http.server is prometheus_client's, asyncio what coroutines need.
DEAR: Final = frozenset(
    {
        "aetcd",
        "asyncio",
        "click",
        "google.protobuf",
        "grafanalib",
        "grpc",
        "http.server",
        "jinja2",
        "opentelemetry.exporter",
        "opentelemetry.sdk",
        "prometheus_client",
        "redis",
        "requests",
        "rich",
        "starlette",
        "urllib3",
        "uvicorn",
        "yaml",
    }
)
SDK: Final = frozenset({"opentelemetry.sdk", "opentelemetry.exporter", "google.protobuf", "requests", "urllib3"})
ENDPOINT: Final = "http://127.0.0.1:9/"


def loaded_by(code: str, home: Path, **variables: str) -> frozenset[str]:
    """Return what of `DEAR` a fresh process has loaded after the code."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "TICKGLASS_"))}
    environ |= {"XDG_RUNTIME_DIR": str(home), **variables}
    show = f"\nimport json, sys\nprint(json.dumps(sorted(set(sys.modules) & {set(DEAR)!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code + show], capture_output=True, text=True, check=False, env=environ, cwd=home
    )
    assert done.returncode == 0, done.stderr
    return frozenset(json.loads(done.stdout.splitlines()[-1]))


def test_the_names_that_are_looked_for_can_be_loaded(tmp_path: Path) -> None:
    """A name that is written wrong would never be found."""
    code = "\n".join(f"import {name}" for name in sorted(DEAR))
    assert loaded_by(code, tmp_path) == DEAR


@pytest.mark.parametrize(
    "code",
    [
        "import tickglass",
        "from tickglass import Lock, Scheduler, at, cron, every, current_run, preference",
        "import tickglass.clock, tickglass.events, tickglass.fencing, tickglass.telemetry, tickglass.testing",
        'import tickglass; tickglass.cron("0 8 * * *"), tickglass.every("1s")',
        'import tickglass\nwith tickglass.Lock("sqlite:///locks.db", "r"): pass',
        "from tickglass.telemetry import LogSink, configure_logging",
    ],
)
def test_nothing_dear_is_loaded(code: str, tmp_path: Path) -> None:
    assert loaded_by(code, tmp_path) == frozenset()


USE: Final = """
from tickglass import Scheduler, every
scheduler = Scheduler("memory://", metrics={metrics})
scheduler.add(print, every("1h"))
with scheduler: pass
"""


@pytest.mark.parametrize("metrics", [None, "127.0.0.1:0"])
def test_a_scheduler_loads_no_sdk_while_no_endpoint_is_named(metrics: str | None, tmp_path: Path) -> None:
    loaded = loaded_by(USE.format(metrics=repr(metrics)), tmp_path)
    assert loaded == {"asyncio", "http.server", "prometheus_client"}


def test_a_scheduler_that_exports_traces_loads_the_sdk_when_it_starts(tmp_path: Path) -> None:
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT}
    made = loaded_by('import tickglass\ntickglass.Scheduler("memory://")', tmp_path, **named)
    assert not made & SDK
    assert loaded_by(USE.format(metrics=None), tmp_path, **named) >= SDK


def test_every_import_of_a_start_is_over_before_it_takes_a_lock(tmp_path: Path) -> None:
    """An import under a lock waits for other threads' imports, which may wait for that lock."""
    code = """
import sys
from tickglass import Scheduler
scheduler = Scheduler("memory://")
taken = []

class Noting:
    def __init__(self, lock): self.lock = lock
    def __enter__(self):
        taken.append("opentelemetry.sdk.trace" in sys.modules)
        return self.lock.__enter__()
    def __exit__(self, *error): return self.lock.__exit__(*error)

scheduler._mutex = Noting(scheduler._mutex)
with scheduler: pass
assert taken and all(taken), taken
"""
    loaded_by(code, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=ENDPOINT)


def test_a_name_that_telemetry_has_not_is_an_attribute_error(tmp_path: Path) -> None:
    code = """
import tickglass.telemetry as telemetry
try:
    telemetry.MetricSnk
except AttributeError as error:
    assert "MetricSnk" in str(error)
assert set(telemetry.__all__) <= set(dir(telemetry))
assert all(getattr(telemetry, name) is not None for name in telemetry.__all__)
"""
    assert loaded_by(code, tmp_path) == {"asyncio", "http.server", "prometheus_client"}
