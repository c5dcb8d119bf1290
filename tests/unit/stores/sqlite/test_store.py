"""What is particular to a database file: opening, clocks, waiting, and failing."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from kit.asks import ASK, CLAIM
from msgspec.structs import replace

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import ConfigError, StoreUnavailable
from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease
from tickglass.sched.ports import Claimed, Gone, Granted, LeaseAsk, Refused, Renewed
from tickglass.sched.stores.retention import KEEP_NS, PRUNE_EVERY_NS
from tickglass.sched.stores.sqlite.file import SqliteFile
from tickglass.sched.stores.sqlite.store import SqliteStore
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


class RebootedClock(FakeClock):
    """The monotonic clock of the host's next boot: the wall clock went on, this one begins anew."""

    def __init__(self) -> None:
        super().__init__()
        self._monotonic_ns -= 999 * SECOND
        self._offset_ns += 999 * SECOND


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path, FakeClock(), busy_timeout_ns=50 * MS)
    yield store
    store.close()


# --- opening


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(path: Path) -> set[int]:
    files = {name: stat.S_IMODE(Path(name).stat().st_mode) for name in (path, f"{path}-wal", f"{path}-shm")}
    return set(files.values())


@pytest.mark.usefixtures("open_umask")
def test_a_database_is_made_for_this_user_alone(path: Path) -> None:
    store = SqliteStore(path, FakeClock())
    assert isinstance(store.claim(CLAIM), Claimed)
    assert modes(path) == {0o600}
    store.close()


@pytest.mark.usefixtures("open_umask")
def test_a_database_that_is_there_keeps_its_mode(path: Path) -> None:
    path.touch()
    path.chmod(0o664)
    store = SqliteStore(path, FakeClock())
    assert isinstance(store.claim(CLAIM), Claimed)
    assert modes(path) == {0o664}
    store.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_no_database_is_made_through_another_users_link(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "made")
    os.chown(path, 54_321, 54_321, follow_symlinks=False)
    with pytest.raises(ConfigError, match="is a symbolic link that belongs to user 54321"):
        SqliteStore(path, FakeClock())
    assert not (tmp_path / "made").exists()


def test_a_wrong_setting_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match="synchronous is not a known setting"):
        SqliteStore(path, FakeClock(), synchronous="off")  # type: ignore[arg-type]


def test_another_applications_database_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE jobs (id)")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="another application's database"):
        SqliteStore(path, FakeClock())
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    SqliteStore(path, FakeClock()).close()
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 3")
    with pytest.raises(ConfigError, match="schema is version 3, this one knows 2"):
        SqliteStore(path, FakeClock())


def test_an_empty_file_is_made_a_store(path: Path) -> None:
    path.touch()
    SqliteStore(path, FakeClock()).close()
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_damaged_file_is_told(path: Path) -> None:
    store = SqliteStore(path, FakeClock())
    store.acquire(ASK)
    store.close()
    content = bytearray(path.read_bytes())
    content[1_024:] = b"\xff" * (len(content) - 1_024)
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable, match="malformed") as raised, closing(SqliteStore(path, FakeClock())) as store:
        store.acquire(ASK)
    assert raised.value.kind == "error"


def test_eight_threads_open_a_new_file_at_once(path: Path) -> None:
    start = threading.Barrier(8)
    stores: list[SqliteStore] = []

    def work() -> None:
        start.wait()
        stores.append(SqliteStore(path, FakeClock()))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fences = [answer.fence for one in stores if isinstance(answer := one.acquire(ASK), Granted)]
    assert len(set(fences)) == 1, "the same token, so the same lease"
    for one in stores:
        one.close()


def test_closing_gives_back_every_file(path: Path) -> None:
    def open_files() -> set[str]:
        links = (os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.exists())  # noqa: PTH115
        return {link for link in links if link.startswith(str(path))}

    store = SqliteStore(path, FakeClock())
    threads = [threading.Thread(target=store.acquire, args=(ASK,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert open_files()
    store.close()
    assert open_files() == set()
    assert [left.name for left in path.parent.iterdir()] == ["jobs.db"], "the log went into the file"


# --- clocks


def test_a_lease_of_an_earlier_boot_is_dead(path: Path) -> None:
    before = SqliteStore(path, FakeClock())
    granted, claimed = before.acquire(ASK), before.claim(CLAIM)
    assert isinstance(granted, Granted)
    assert isinstance(claimed, Claimed)
    before.close()
    after = SqliteStore(path, RebootedClock())
    for record in after.leases():
        assert (record.remaining_ns, record.held_ns) == (-SECOND, 0), "it ended before this boot began, a second ago"
    assert after.renew(Lease("ledger", "n1", "token", granted.fence, 30 * SECOND, 0)) == Gone()
    assert [orphan.job for orphan in after.orphans([JobId("billing", "nightly")])] == ["nightly"]
    taken = after.acquire(LeaseAsk("ledger", "n2", "billing", "other", SECOND))
    assert isinstance(taken, Granted)
    assert (taken.expired_owner, taken.fence > claimed.fence) == ("n1", True)
    after.close()


def test_a_lease_of_an_earlier_boot_is_forgotten_when_it_ended_long_ago_at_the_latest(path: Path) -> None:
    before = SqliteStore(path, FakeClock())
    before.acquire(ASK)
    before.close()
    clock = RebootedClock()
    after = SqliteStore(path, clock, keep_ns=600 * SECOND)
    for passed_ns, left in ((599 * SECOND, 1), (PRUNE_EVERY_NS, 0)):
        clock.advance(passed_ns)
        after.orphans([])
        assert len(after.leases()) == left
    after.close()


def test_what_is_taken_between_the_look_and_the_forgetting_is_kept(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    forgetting, taking, read = SqliteStore(path, clock), SqliteStore(path, clock), SqliteFile.read
    store.acquire(ASK)
    clock.advance(10 * KEEP_NS)
    heir = LeaseAsk("ledger", "n2", "billing", "other", SECOND)

    def look(file: SqliteFile, operation: str, work: Callable[[sqlite3.Connection], T]) -> T:
        seen = read(file, operation, work)
        taking.acquire(heir)
        return seen

    with monkeypatch.context() as patch:
        patch.setattr(SqliteFile, "read", look)
        forgetting.orphans([])
    assert [it.owner for it in forgetting.leases()] == ["n2"]
    forgetting.close()
    taking.close()


def test_a_wall_clock_that_is_set_moves_no_lease(path: Path) -> None:
    clock = FakeClock()
    store = SqliteStore(path, clock)
    granted = store.acquire(ASK)
    assert isinstance(granted, Granted)
    lease = Lease("ledger", "n1", "token", granted.fence, 30 * SECOND, 0)
    for step_ns in (86_400 * SECOND, -365 * 86_400 * SECOND):
        clock.step(step_ns)
        assert store.renew(lease) == Renewed()
        (record,) = store.leases()
        assert (record.held_ns, record.remaining_ns) == (0, 30 * SECOND)
    store.close()


# --- waiting


def test_a_write_lock_that_stays_taken_is_told_in_time(path: Path, store: SqliteStore) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="the write lock was not free for 50ms") as raised:
            store.claim(CLAIM)
        assert (raised.value.kind, raised.value.operation) == ("unavailable", "claim")
        assert store.leases() == [], "observers do not wait for writers"
        other.execute("ROLLBACK")
    assert isinstance(store.claim(CLAIM), Claimed)


def test_threads_that_wait_behind_a_waiting_thread_are_told_in_time_too(path: Path, store: SqliteStore) -> None:
    told: list[StoreUnavailable] = []

    def work() -> None:
        try:
            store.acquire(ASK)
        except StoreUnavailable as error:
            told.append(error)

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        threads = [threading.Thread(target=work) for _ in range(4)]
        clock = SystemClock()
        began_ns = clock.monotonic_ns()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert clock.monotonic_ns() - began_ns < SECOND
    assert [error.kind for error in told] == ["unavailable"] * 4


def test_a_writer_goes_on_as_soon_as_the_lock_is_free(path: Path) -> None:
    store = SqliteStore(path, FakeClock())
    answers: list[object] = []
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    thread = threading.Thread(target=lambda: answers.append(store.acquire(ASK)))
    thread.start()
    assert store.leases() == []
    other.execute("ROLLBACK")
    thread.join()
    other.close()
    assert isinstance(answers[0], Granted)
    store.close()


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("mode", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_file_that_stays_locked_is_opened_by_the_first_call_that_finds_it_free(
    path: Path, mode: str, *, there: bool
) -> None:
    if there:
        SqliteStore(path, FakeClock()).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"BEGIN {mode}")
        store = SqliteStore(path, FakeClock(), busy_timeout_ns=50 * MS)
        for use, operation in ((lambda: store.acquire(ASK), "acquire"), (store.leases, "leases")):
            with pytest.raises(StoreUnavailable, match="the write lock was not free for 50ms") as raised:
                use()
            assert (raised.value.kind, raised.value.operation) == ("unavailable", operation)
        other.execute("ROLLBACK")
    assert isinstance(store.acquire(ASK), Granted)
    assert [lease.resource for lease in store.leases()] == [ASK.resource]
    store.close()
    with pytest.raises(StoreUnavailable, match="the store is closed"):
        store.leases()


def test_a_file_that_was_never_opened_is_closed_for_good(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        store = SqliteStore(path, FakeClock(), busy_timeout_ns=MS)
        store.close()
        other.execute("ROLLBACK")
    with pytest.raises(StoreUnavailable, match="the store is closed"):
        store.acquire(ASK)


# --- failing


def test_a_closed_store_says_so(store: SqliteStore) -> None:
    store.close()
    for use in (lambda: store.acquire(ASK), lambda: store.claim(CLAIM), store.leases, store.jobs, store.runs):
        with pytest.raises(StoreUnavailable, match="the store is closed"):
            use()


def test_a_file_removed_or_replaced_under_way_is_told(path: Path, store: SqliteStore) -> None:
    store.acquire(ASK)
    path.rename(path.with_suffix(".gone"))
    with pytest.raises(StoreUnavailable, match="was removed or replaced"):
        store.acquire(ASK)
    SqliteStore(path, FakeClock()).close()
    with pytest.raises(StoreUnavailable, match="was removed or replaced") as raised:
        store.leases()
    assert raised.value.kind == "error"


def test_what_cannot_be_stored_is_an_error_of_the_store_and_leaves_nothing(store: SqliteStore) -> None:
    for resource, ttl_ns in (("\udcff", SECOND), ("ledger", 1 << 70)):
        with pytest.raises(StoreUnavailable) as raised:
            store.acquire(LeaseAsk(resource, "n1", "billing", "token", ttl_ns))
        assert (raised.value.kind, raised.value.__cause__ is None) == ("error", False)
    assert store.leases() == []
    granted = store.acquire(ASK)
    assert isinstance(granted, Granted)
    assert granted.fence == FakeClock().wall_ns() // 1_000, "nothing of the failed transactions is left"


def test_an_interrupted_transaction_is_undone(store: SqliteStore) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE fence SET latest = latest + 9000000000000000")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store._file.write("test", work)
    granted = store.acquire(ASK)
    assert isinstance(granted, Granted)
    assert granted.fence == FakeClock().wall_ns() // 1_000
    assert isinstance(store.acquire(LeaseAsk("ledger", "n2", "billing", "other", SECOND)), Refused)


def test_a_full_disk_is_told_and_over_when_there_is_room(store: SqliteStore) -> None:
    limit = "PRAGMA max_page_count={}"
    store._file.write("test", lambda it: it.execute("CREATE TABLE filler (x)").fetchone())
    pages = store._file.write("test", lambda it: it.execute("PRAGMA page_count").fetchone()[0])
    store._file._writer.execute(limit.format(pages))  # type: ignore[union-attr]
    big = LeaseAsk("r" * 10_000, "n1", "billing", "token", SECOND)
    with pytest.raises(StoreUnavailable, match="full") as raised:
        store.acquire(big)
    assert raised.value.kind == "unavailable", "so that a start waits for room"
    store._file._writer.execute(limit.format(1 << 30))  # type: ignore[union-attr]
    assert isinstance(store.acquire(big), Granted)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_store_opened_before_a_fork_is_not_used_after_it(store: SqliteStore) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.acquire(ASK)
        except StoreUnavailable as error:
            code = 7 if "forked" in error.detail else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert isinstance(store.acquire(ASK), Granted)


# --- fences


def test_fences_go_on_growing_in_a_file_that_was_made_anew(path: Path) -> None:
    clock, fences = FakeClock(), []
    for _ in range(3):
        with closing(SqliteStore(path, clock)) as store:
            for number in range(5):
                granted = store.acquire(replace(ASK, resource=f"r{number}"))
                assert isinstance(granted, Granted)
                fences.append(granted.fence)
        for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            file.unlink(missing_ok=True)
        clock.advance(MS)
    assert fences == sorted(set(fences))


def test_a_clock_that_was_set_back_leaves_fences_growing(path: Path) -> None:
    clock = FakeClock()
    with closing(SqliteStore(path, clock)) as store:
        first = store.acquire(replace(ASK, resource="a"))
        clock.step(-3_600 * SECOND)
        second = store.acquire(replace(ASK, resource="b"))
    assert isinstance(first, Granted)
    assert isinstance(second, Granted)
    assert second.fence > first.fence
