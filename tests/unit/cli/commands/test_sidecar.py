"""What is wrong on the command line of a sidecar is said before anything starts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from unit.cli.conftest import Tickglass


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--socket", "run/tickglass.sock"), "three slashes"),
        (("--socket", "tcp://localhost:9"), "unix:// and a path"),
        (("--socket", f"/{'x' * 200}"), "at most 107 bytes"),
        (("--listen", "9464"), "host:port"),
        (("--store", "sqlight:///a.db"), "there is no store 'sqlight'"),
        (("--store", "memory://"), "no other process can look into it"),
        (("--run-link", "Trace"), "a link is a name and a URL"),
        (("--run-link", "Trace=https://x.example/{trace}"), "there is no field {trace}"),
        (("--probe-every", "1"), "--probe-every"),
        (("--probe-every", "1ms"), "--probe-every"),
    ],
)
def test_a_wrong_option_is_refused(words: tuple[str, ...], message: str, tmp_path: Path, tickglass: Tickglass) -> None:
    result = tickglass("sidecar", *words, XDG_RUNTIME_DIR=str(tmp_path))
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert message in result.stderr


def test_a_wrong_store_of_the_environment_is_refused_by_its_name(tmp_path: Path, tickglass: Tickglass) -> None:
    stores = f"sqlite:///{tmp_path}/a.db sqlight:///b.db"
    result = tickglass("sidecar", XDG_RUNTIME_DIR=str(tmp_path), TICKGLASS_STORE=stores)
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "TICKGLASS_STORE=sqlight:///b.db\n" in result.stderr


def test_an_address_that_is_taken_is_refused_and_nothing_stays(tmp_path: Path, tickglass: Tickglass) -> None:
    result = tickglass("sidecar", "--listen", "192.0.2.1:9464", XDG_RUNTIME_DIR=str(tmp_path))
    assert result.exit_code == 2
    assert "cannot listen on this address" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tickglass.sock.lock"]


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, tickglass: Tickglass, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("tickglass.telemetry.sidecar.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette", None)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    result = tickglass("sidecar", XDG_RUNTIME_DIR=str(tmp_path))
    assert result.exit_code == 2
    assert "pip install 'tickglass[sidecar]'" in result.stderr
