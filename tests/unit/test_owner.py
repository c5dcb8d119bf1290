"""Lock files and the spool of an instance lie where no other user can meddle with them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tickglass import ConfigError, Scheduler
from tickglass.owner import Slot, spool_path
from tickglass.telemetry.sidecar.transport.socket_path import default_path

if TYPE_CHECKING:
    from pathlib import Path

STRANGER = 54_321
HOME = f"tickglass-{os.geteuid()}"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime directory, and beside it what stands for /tmp."""
    runtime = tmp_path / "runtime"
    for folder in (runtime, tmp_path / "tmp"):
        folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return runtime


def assert_refused(words: str) -> None:
    with pytest.raises(ConfigError, match=words) as no_slot:
        Slot("billing")
    assert no_slot.value.instead == ('owner="host-1"',)
    with pytest.raises(ConfigError, match=words) as no_spool:
        spool_path("host-1")
    assert no_spool.value.instead == ('spool="/var/lib/app/spool"',)


def test_the_folder_of_lock_files_is_this_users_alone(runtime: Path) -> None:
    Slot("billing").close()
    assert stat.S_IMODE((runtime / HOME).stat().st_mode) == 0o700
    assert stat.S_IMODE((runtime / HOME / "billing-0.lock").stat().st_mode) == 0o600
    assert spool_path("host-1") == runtime / HOME / "host-1.spool"


def test_a_link_in_its_place_is_not_followed(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (runtime / HOME).symlink_to(tmp_path / "elsewhere")
    assert_refused(f"{HOME} is a symbolic link")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_nor_is_a_link_in_the_place_of_a_lock_file(runtime: Path, tmp_path: Path) -> None:
    (runtime / HOME).mkdir(mode=0o700)
    (runtime / HOME / "billing-0.lock").symlink_to(tmp_path / "made")
    with pytest.raises(ConfigError, match="symbolic link"):
        Slot("billing")
    assert not (tmp_path / "made").exists()


def test_a_folder_that_others_may_write_in_is_refused(runtime: Path) -> None:
    (runtime / HOME).mkdir()
    (runtime / HOME).chmod(0o777)
    assert_refused(f"others may write in .*{HOME}: chmod 700")


@as_root
def test_a_folder_that_somebody_else_made_is_refused(runtime: Path) -> None:
    (runtime / HOME).mkdir(mode=0o700)
    os.chown(runtime / HOME, STRANGER, STRANGER)
    assert_refused(f"{HOME} belongs to user {STRANGER}")
    with pytest.raises(ConfigError, match=f"belongs to user {STRANGER}"):
        Scheduler("memory://").start()


@as_root
def test_another_users_runtime_directory_is_not_used_and_that_is_told(
    runtime: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.chown(runtime, STRANGER, STRANGER)  # as `sudo -E` leaves it named
    Slot("billing").close()
    assert list(runtime.iterdir()) == []
    assert (tmp_path / "tmp" / HOME / "billing-0.lock").exists()
    assert f"{runtime} belongs to user {STRANGER}" in caplog.text
    assert f"kept in {tmp_path / 'tmp'} instead" in caplog.text


@as_root
def test_nor_does_a_sidecar_listen_in_it(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_path() == str(runtime / "tickglass.sock")
    os.chown(runtime, STRANGER, STRANGER)
    assert not default_path().startswith(str(runtime))
    monkeypatch.setattr("os.access", lambda *_: False)
    (runtime.parent / "tmp" / HOME).mkdir()
    os.chown(runtime.parent / "tmp" / HOME, STRANGER, STRANGER)
    with pytest.raises(ConfigError, match=f"no folder is usable for a socket: .* belongs to user {STRANGER}"):
        default_path()


@as_root
def test_a_spool_that_somebody_else_put_there_is_refused_at_the_start(runtime: Path, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.touch()
    os.chown(spool, STRANGER, STRANGER)
    with pytest.raises(ConfigError, match=f"spool belongs to user {STRANGER}"):
        Scheduler("memory://", owner="host-1", spool=spool).start()


@pytest.mark.usefixtures("runtime")
def test_slots_are_the_lowest_that_are_free() -> None:
    first, second = Slot("billing"), Slot("billing")
    other = Slot("shop")
    assert [slot.owner.split("/", 1)[1] for slot in (first, second, other)] == ["billing/0", "billing/1", "shop/0"]
    first.close()
    again = Slot("billing")
    assert again.owner == first.owner
    for slot in (again, second, other):
        slot.close()


@pytest.mark.parametrize("service", ["a/b", "../x", "ä" * 200, "x y"])
def test_any_service_has_slots(service: str, runtime: Path) -> None:
    slot = Slot(service)
    assert slot.owner == f"{os.uname().nodename}/{service}/0"
    (home,) = runtime.iterdir()
    assert len(list(home.iterdir())) == 1
    slot.close()


def test_a_runtime_directory_that_is_not_there_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Slot("billing").close()
    assert (tmp_path / f"tickglass-{os.getuid()}" / "billing-0.lock").exists()


def test_without_a_place_for_slots_a_name_is_asked_for(runtime: Path) -> None:
    (runtime / f"tickglass-{os.getuid()}").write_text("in the way")
    with pytest.raises(ConfigError, match="this instance needs a name") as refused:
        Slot("billing")
    assert refused.value.instead == ('owner="host-1"',)
