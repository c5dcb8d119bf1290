"""A lock by hand, a holder that was paused, and the fence that keeps it from writing."""

from __future__ import annotations

import sqlite3

from tickglass import Lock, StaleFence
from tickglass.fencing import SqlGuard

guard = SqlGuard()
database = sqlite3.connect("shop.db")
database.execute("CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, n INTEGER)")
database.execute("INSERT OR REPLACE INTO stock VALUES ('apple', 10)")
database.execute(guard.create)
database.commit()

# The first holder takes the lock, reads the stock, and then stands still for longer than its lease lasts.
paused = Lock("sqlite:///locks.db", "stock", ttl="200ms", renew=False, owner="paused")
old = paused.acquire()
if old is None:
    raise SystemExit("somebody else has the lock")
print(f"paused holds fence {old.fence}, trusted for {old.remaining():.1f} s")

# The second one waits until that lease has run out, and sells an apple.
with Lock("sqlite:///locks.db", "stock", wait="10s", owner="present") as lease:
    lease.check()  # raises LeaseLost once it may not act any more
    with database:  # one transaction: the fence, then the writes
        guard.advance(database.cursor(), lease)
        database.execute("UPDATE stock SET n = n - 1 WHERE item = 'apple'")
    print("present sold an apple")

# The first one wakes up. It need not even look at its lease: what it writes to knows better.
print(f"paused wakes up; trusted: {old.trusted}")
try:
    with database:
        guard.advance(database.cursor(), old)
        database.execute("UPDATE stock SET n = 10 WHERE item = 'apple'")
except StaleFence as error:
    print(f"refused: {error}")
print(f"given back in time: {paused.release()}")
paused.close()

(left,) = database.execute("SELECT n FROM stock").fetchone()
print(f"{left} apples left")
database.close()
