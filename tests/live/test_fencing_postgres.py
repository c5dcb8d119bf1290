"""The guard for SQL on a real PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from kit.metrics_stage import Stage
from kit.servers import find_free_port, find_server

from tickglass.sched.errors import StaleFence
from tickglass.sched.fencing import SqlGuard, wrote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.sched.lease import LockMachine

pytestmark = pytest.mark.xdist_group("postgres")


def granted(stage: Stage) -> LockMachine:
    """Return who may write under the next fence; a lock machine has what a guard needs of a run."""
    lock = stage.lock("stock")
    stage.hold(lock)
    return lock


@pytest.fixture
def stage() -> Stage:
    return Stage()


def _find(program: str) -> str:
    return find_server(program, *map(str, Path("/usr/lib/postgresql").glob("*/bin")))  # where Debian hides it


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """Run a server of our own; it refuses to run as root, so then it runs as the user of its package."""
    with tempfile.TemporaryDirectory(prefix="tickglass-postgres-") as home:  # pytest's are for one user only
        user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            if user not in {entry.pw_name for entry in pwd.getpwall()}:
                pytest.skip("nobody to run postgres as")
            shutil.chown(home, user)
        yield from running_postgres(home, {"user": user} if os.geteuid() == 0 else {})


def running_postgres(home: str, common: dict[str, Any]) -> Iterator[str]:
    initdb, server = _find("initdb"), _find("postgres")
    port = find_free_port()
    subprocess.run(
        [initdb, "-D", home, "-U", "me", "-A", "trust", "--no-sync"],
        check=True,
        capture_output=True,
        cwd="/",
        **common,
    )
    command = [server, "-D", home, "-p", str(port), "-h", "127.0.0.1", "-k", "", "-F"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd="/", **common) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "ready to accept connections" in line:
                break
        drain = threading.Thread(target=running.stderr.read)
        drain.start()
        yield f"host=127.0.0.1 port={port} user=me dbname=postgres"
        running.terminate()
        drain.join()


def test_a_paused_holder_does_not_write_to_postgresql(postgres: str, stage: Stage) -> None:
    guard = SqlGuard(placeholder="%s")
    paused, present = granted(stage), granted(stage)
    with psycopg.connect(postgres) as database, database.cursor() as cursor:
        cursor.execute(guard.create.encode())
        cursor.execute("CREATE TABLE stock (id TEXT PRIMARY KEY, n INTEGER, fence BIGINT NOT NULL)")
        cursor.execute("INSERT INTO stock VALUES ('apple', 1, 0)")
        database.commit()
        guard.advance(cursor, present)
        database.commit()
        guard.advance(cursor, present)
        with pytest.raises(StaleFence) as caught:
            guard.advance(cursor, paused)
        assert caught.value.newest == present.fence
        database.rollback()
        update = "UPDATE stock SET n = %s, fence = %s WHERE id = 'apple' AND fence <= %s"
        cursor.execute(update, (5, present.fence, present.fence))
        assert wrote(cursor, present, "SELECT fence FROM stock WHERE id = %s", ("apple",))
        cursor.execute(update, (99, paused.fence, paused.fence))
        with pytest.raises(StaleFence):
            wrote(cursor, paused, "SELECT fence FROM stock WHERE id = %s", ("apple",))
    assert stage.value("distributed_lock_fencing_rejections_total", resource="stock") == 2


def test_nobody_comes_between_the_check_and_the_write_in_postgresql(postgres: str, stage: Stage) -> None:
    guard = SqlGuard(placeholder="%s", table="other_fences")
    paused, present = granted(stage), granted(stage)
    refusals: list[StaleFence] = []

    def wake(database: psycopg.Connection[Any]) -> None:
        try:
            guard.advance(database.cursor(), paused)  # waits for the other's commit, and then sees his fence
        except StaleFence as error:
            refusals.append(error)

    with psycopg.connect(postgres) as first, psycopg.connect(postgres) as second:
        first.execute(guard.create.encode())
        first.commit()
        guard.advance(first.cursor(), present)
        waking = threading.Thread(target=wake, args=(second,))
        waking.start()
        waking.join(0.05)
        assert waking.is_alive()
        first.commit()
        waking.join(10)
    assert [error.newest for error in refusals] == [present.fence]
