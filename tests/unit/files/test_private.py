"""What other users can meddle with is refused; what is made is for one user alone."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.errors import ConfigError
from tickglass.sched.files.private import (
    check_link,
    check_ours,
    make_private,
    open_private,
    private_folder,
    why_unsafe,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STRANGER = 54_321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def given_away(path: Path) -> Path:
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
    return path


def test_a_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "home")
    assert mode(folder) == 0o700
    (folder / "kept").touch()
    assert private_folder(folder) == folder
    assert (folder / "kept").exists()


@pytest.mark.parametrize("others", [0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_may_write_in_is_refused(tmp_path: Path, others: int) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(others)
    with pytest.raises(PermissionError, match=r"others may write in .*home: chmod 700"):
        private_folder(tmp_path / "home")


def test_a_folder_that_others_may_read_is_not(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o755)
    private_folder(tmp_path / "home")


def test_a_link_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "home").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="home is a symbolic link"):
        private_folder(tmp_path / "home")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="dangling"):
        private_folder(tmp_path / "dangling")


@as_root
def test_another_users_folder_is_refused(tmp_path: Path) -> None:
    given_away(private_folder(tmp_path / "home"))
    with pytest.raises(PermissionError, match=f"home belongs to user {STRANGER}, not to this process's user 0"):
        private_folder(tmp_path / "home")


@as_root
def test_so_is_one_inside_another_users_folder(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o777)
    assert why_unsafe(tmp_path / "theirs") == ""
    given_away(tmp_path / "theirs")
    with pytest.raises(PermissionError, match=r"theirs belongs to user .*, who can replace"):
        private_folder(tmp_path / "theirs" / "home")
    assert not (tmp_path / "theirs" / "home").exists()
    (tmp_path / "theirs").chmod(0o1777)  # as /tmp looks in a sandbox that does not show root
    private_folder(tmp_path / "theirs" / "home")
    assert "theirs belongs to user" in why_unsafe(tmp_path / "theirs")


def test_a_file_is_made_for_this_user_alone_and_one_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    make_private(tmp_path / "new")
    assert mode(tmp_path / "new") == 0o600
    (tmp_path / "new").write_text("kept")
    (tmp_path / "new").chmod(0o664)
    make_private(tmp_path / "new")
    assert ((tmp_path / "new").read_text(), mode(tmp_path / "new")) == ("kept", 0o664)
    os.close(open_private(tmp_path / "lock", os.O_RDWR))
    assert mode(tmp_path / "lock") == 0o600


def test_a_lock_file_is_opened_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic link"):
        open_private(tmp_path / "lock", os.O_RDWR)
    assert not (tmp_path / "target").exists()


def test_a_file_is_made_through_a_link_of_this_users_own(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    check_ours(tmp_path / "link")
    make_private(tmp_path / "link")
    assert mode(tmp_path / "target") == 0o600


@as_root
@pytest.mark.parametrize("there", [True, False])
def test_no_file_is_made_or_used_through_another_users_link(tmp_path: Path, *, there: bool) -> None:
    target = tmp_path / "target"
    if there:
        target.touch()
    (tmp_path / "link").symlink_to(target)
    given_away(tmp_path / "link")
    for refuse in (check_link, check_ours, make_private):
        with pytest.raises(ConfigError, match=f"link is a symbolic link that belongs to user {STRANGER}"):
            refuse(tmp_path / "link")
    assert target.exists() == there


@as_root
def test_another_users_file_is_not_ours(tmp_path: Path) -> None:
    check_ours(tmp_path / "none")
    (tmp_path / "file").touch()
    check_ours(tmp_path / "file")
    given_away(tmp_path / "file")
    with pytest.raises(ConfigError, match=f"file belongs to user {STRANGER}"):
        check_ours(tmp_path / "file")
