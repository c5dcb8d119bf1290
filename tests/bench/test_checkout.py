from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from measuring.checkout import CheckoutFailed, check_out

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository whose file says "old" in the first commit, with a link as the product has them."""
    root = tmp_path / "repository"
    (root / "src").mkdir(parents=True)
    git(root, "init", "--quiet")
    for text in ("old", "new"):
        (root / "file").write_text(text)
        if not (root / "src/link").is_symlink():
            (root / "src/link").symlink_to("../file")
        git(root, "add", "--all")
        git(root, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", text)
    return root


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", root, *words], check=True, capture_output=True, text=True).stdout.strip()


def test_an_older_commit_is_unpacked_with_its_links(repository: Path) -> None:
    checkout = check_out(repository, "HEAD^")
    assert (checkout.folder / "src/link").read_text() == "old"
    assert git(repository, "rev-parse", "HEAD^").startswith(checkout.commit)
    assert (repository / "file").read_text() == "new"
    assert check_out(repository, "HEAD^") == checkout


def test_no_worktree_stays_registered(repository: Path) -> None:
    check_out(repository, "HEAD^")
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_a_commit_that_is_not_there_is_said(repository: Path) -> None:
    with pytest.raises(CheckoutFailed):
        check_out(repository, "no-such-commit")


def test_an_unpacking_that_was_interrupted_is_begun_again(repository: Path) -> None:
    folder = check_out(repository, "HEAD^").folder
    folder.rename(folder.with_suffix(".part"))
    (folder.with_suffix(".part") / "file").unlink()
    assert (check_out(repository, "HEAD^").folder / "file").read_text() == "old"
