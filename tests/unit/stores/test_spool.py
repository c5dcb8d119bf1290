"""The spool: first in, first out, bounded, and still there after a crash."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from tickglass.sched.errors import ConfigError, StoreUnavailable
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, LeaseAsk, Settlement, SpooledOutcome
from tickglass.sched.stores.spool import SqliteSpool


def outcome(number: int, *, unclaimed: bool = False) -> SpooledOutcome:
    lease = Lease("r", "n1", "token", number, 30, 0)
    ask = ClaimAsk(LeaseAsk("r", "n1", "s", "token", 30, "job", f"{number:032x}"), number) if unclaimed else None
    return SpooledOutcome(Settlement(lease, "s", "job", number, f"{number:032x}", "success", detail="ü\n"), ask)


def test_what_was_put_first_comes_first_and_comes_back_whole(tmp_path: Path) -> None:
    spool = SqliteSpool(tmp_path / "spool", "s")
    given = [outcome(1), outcome(2, unclaimed=True), outcome(3)]
    assert [spool.put(one) for one in given] == [True] * 3
    assert [one for _, one in spool.oldest(2)] == given[:2]
    assert [one for _, one in spool.oldest(2, after=spool.oldest(1)[0][0])] == given[1:]
    spool.drop(spool.oldest(1)[0][0])
    assert [one for _, one in spool.oldest(10)] == given[1:]
    spool.close()
    assert SqliteSpool(tmp_path / "spool", "s").depth() == 2


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    spool = SqliteSpool(tmp_path / "spool", "s")
    assert (spool.depth(), spool.oldest(1)) == (0, ())
    spool.close()
    assert not list(tmp_path.iterdir())


def test_what_is_made_is_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        spool = SqliteSpool(tmp_path / "spool", "s")
        spool.put(outcome(1))
    finally:
        os.umask(before)
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {
        "spool": 0o600,
        "spool-wal": 0o600,
        "spool-shm": 0o600,
    }
    spool.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_what_somebody_else_has_put_there_is_not_used(tmp_path: Path) -> None:
    early = SqliteSpool(tmp_path / "spool", "s")
    (tmp_path / "spool").symlink_to(tmp_path / "made")
    os.chown(tmp_path / "spool", 54_321, 54_321, follow_symlinks=False)
    with pytest.raises(StoreUnavailable, match="is a symbolic link that belongs to user 54321"):
        early.put(outcome(1))
    assert not (tmp_path / "made").exists()
    with pytest.raises(ConfigError, match="is a symbolic link that belongs to user 54321"):
        SqliteSpool(tmp_path / "spool", "s")


def test_an_outcome_that_an_older_version_wrote_gets_the_service_of_this_one(tmp_path: Path) -> None:
    spool = SqliteSpool(tmp_path / "spool", "billing")
    spool.put(outcome(1))
    with closing(sqlite3.connect(tmp_path / "spool")) as file:
        (row,) = file.execute("SELECT outcome FROM outcomes").fetchone()
        old = json.loads(row)
        del old["settlement"]["service"]
        file.execute("UPDATE outcomes SET outcome = ?", (json.dumps(old).encode(),))
        file.commit()
    ((_, kept),) = spool.oldest(1)
    assert kept is not None
    assert kept.settlement == replace(outcome(1).settlement, service="billing")
    spool.close()


def test_an_outcome_that_the_version_before_wrote_is_read_whole(tmp_path: Path) -> None:
    """Its values were dataclasses; this is what it wrote, to the byte, but for what it would pass over."""
    lease = {"resource": "sync", "owner": "n1", "token": "t", "fence": 7, "ttl_ns": 30, "trusted_until_ns": 0}
    asked = {"resource": "sync", "owner": "n1", "service": "s", "token": "t", "ttl_ns": 30, "job": "j", "run_id": "r"}
    settlement = {"lease": lease, "service": "s", "job": "j", "due_ns": 1, "run_id": "r", "outcome": "failure"}
    told = {"detail": "why", "started_wall_ns": 2, "lateness_ns": 3, "started_after_ns": 4, "ran_ns": 5}
    claim = {"lease": asked, "due_ns": 1, "next_due_ns": 2, "rerun": True, "max_ahead_ns": None, "declaration": "0a"}
    written = json.dumps({"settlement": settlement | told, "unclaimed": claim}, separators=(",", ":")).encode()
    spool = SqliteSpool(tmp_path / "spool", "s")
    spool.put(outcome(1))
    with closing(sqlite3.connect(tmp_path / "spool")) as file:
        file.execute("UPDATE outcomes SET outcome = ?", (written,))
        file.commit()
    ((number, kept),) = spool.oldest(1)
    ended = Settlement(Lease("sync", "n1", "t", 7, 30, 0), "s", "j", 1, "r", "failure", "why", 2, 3, 4, 5)
    ask = ClaimAsk(LeaseAsk("sync", "n1", "s", "t", 30, "j", "r"), 1, 2, declaration="0a")
    assert kept == SpooledOutcome(ended, ask)
    spool.drop(number)
    spool.put(SpooledOutcome(ended, ask))
    with closing(sqlite3.connect(tmp_path / "spool")) as file:
        (ours,) = file.execute("SELECT outcome FROM outcomes").fetchone()
    theirs = json.loads(ours)
    assert theirs["unclaimed"].pop("kind") == "scheduled"
    assert json.dumps(theirs, separators=(",", ":")).encode() == written, "and it can read ours"
    spool.close()


def test_a_full_spool_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    spool = SqliteSpool(tmp_path / "spool", "s", outcomes_max=2)
    assert [spool.put(outcome(number)) for number in range(3)] == [True, True, False]
    assert spool.depth() == 2


def test_a_place_that_cannot_be_written_is_an_error_of_the_spool(tmp_path: Path) -> None:
    spool = SqliteSpool(tmp_path / "missing" / "spool", "s")
    with pytest.raises(StoreUnavailable, match=r"spool store, put: .*missing") as failed:
        spool.put(outcome(1))
    assert failed.value.kind == "error"


CRASH = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_spool import outcome, SqliteSpool
spool = SqliteSpool(Path({path!r}), "s")
for number in range(5):
    spool.put(outcome(number))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_put_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    code = CRASH.format(here=str(Path(__file__).parent), path=str(path))
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=50)
    assert done.returncode == -9
    assert SqliteSpool(path, "s").depth() == 5
