"""Give an older version of the code to the same drivers and the same interpreter."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BEFORE", "Checkout", "CheckoutFailed", "check_out"]

BEFORE: Final = "dfa9a4f"  # the last commit that claimed and settled one occurrence at a time


class Checkout(NamedTuple):
    """An older version.

    Args:
        folder: holds all its files; tickglass is imported from `src` in it.
        commit: its hash, ten digits.
    """

    folder: Path
    commit: str


class CheckoutFailed(Exception):  # noqa: N818 - what happened
    """There is no such commit here, or no git."""


def check_out(root: Path, ref: str) -> Checkout:
    """Return the files of a commit, in build/; those that are there already are used again.

    They are unpacked from an archive: a worktree would stay registered after its folder is gone.

    Raises:
        CheckoutFailed: says why.
    """
    git = shutil.which("git")
    if git is None:
        raise CheckoutFailed("git is not installed")
    commit = _run(git, root, "rev-parse", "--verify", f"{ref}^{{commit}}").decode().strip()[:10]
    folder = root / "build" / "bench" / f"before-{commit}"
    if not folder.is_dir():
        unpacked = folder.with_suffix(".part")  # a run that was interrupted left one that is not whole
        shutil.rmtree(unpacked, ignore_errors=True)
        with tarfile.open(fileobj=io.BytesIO(_run(git, root, "archive", "--format=tar", commit))) as archive:
            archive.extractall(unpacked, filter="data")
        unpacked.rename(folder)
    return Checkout(folder, commit)


def _run(git: str, root: Path, *words: str) -> bytes:
    done = subprocess.run([git, "-C", str(root), *words], capture_output=True, check=False)
    if done.returncode:
        raise CheckoutFailed(done.stderr.decode(errors="replace").strip() or f"git {words[0]} failed")
    return done.stdout
