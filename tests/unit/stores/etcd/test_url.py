"""Every wrong URL of an etcd cluster is refused with a finger on the wrong part; a right one connects to no server."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import ConfigError
from tickglass.sched.stores import check_url, open_store
from tickglass.sched.stores.etcd.settings import Endpoint
from tickglass.sched.stores.etcd.store import EtcdStore

# URL, the part that the carets stand under ("" for none), a word of the problem, a right spelling
WRONG: Final = [
    ("etcd:", ":", '"://"', "etcd://localhost:2379"),
    ("etcd://", "", "a host and a port", "etcd://localhost:2379"),
    ("etcd://h:0", "h:0", "a host and a port", "etcd://localhost:2379"),
    ("etcd://h:65536", "h:65536", "a host and a port", "etcd://localhost:2379"),
    ("etcd://h1,,h2", "", "a host and a port", "etcd://localhost:2379"),
    ("etcd://h:port", "h:port", "a host and a port", "etcd://localhost:2379"),
    ("etcd://h:\u0661", "h:\u0661", "a host and a port", "etcd://localhost:2379"),
    ("etcd://::1:2379", "::1:2379", "a host and a port", "etcd://localhost:2379"),
    ("etcd://h1:2379,h1", "h1", "h1:2379 is named twice", None),
    ("etcd://h:2379/jobs", "/jobs", "no path", "?prefix=/jobs"),
    ("etcd://me@h", "me", "a user comes with a password", "etcd://user:password@localhost:2379"),
    ("etcd://:hunter2@h", ":hunter2", "a user comes with a password", "etcd://user:password@localhost:2379"),
    ("etcd://h?prefix=/jobs/", "prefix=/jobs/", "does not end in /", "?prefix=/jobs"),
    ("etcd://h?prefix=a%00b", "prefix=a%00b", "printable", "?prefix=/jobs"),
    ("etcd://h?keep=1s", "keep=1s", "keep must be at least 1m", "?keep=24h"),
    ("etcd://h?timeout=soon", "timeout=soon", "timeout is not a duration", "?timeout=24h"),
]


@pytest.mark.parametrize(("url", "part", "problem", "instead"), WRONG)
def test_a_wrong_url_is_shown_pointed_at_and_put_right(url: str, part: str, problem: str, instead: str | None) -> None:
    with pytest.raises(ConfigError) as raised:
        check_url(url)
    error = raised.value
    assert problem in error.problem
    assert error.given == url.replace("hunter2", "***")
    assert (error.instead[0] if error.instead else None) == instead
    if part:
        assert error.span is not None
        assert error.given[slice(*error.span)] == part.replace("hunter2", "***")


def test_a_right_url_touches_nothing_and_its_parts_arrive() -> None:
    check_url("etcd://u:p@nowhere.invalid:2379,[::1]")
    store = open_store("etcd://me:hunt%40er@h1,[::1]:99?prefix=/jobs&keep=2h&timeout=300ms", SystemClock())
    assert isinstance(store, EtcdStore)
    client = store._client
    assert [connection.endpoint for connection in client._connections] == [Endpoint("h1", 2379), Endpoint("[::1]", 99)]
    assert (client._user, client._password, client.timeout_ns) == ("me", "hunt@er", 300 * MS)
    assert (store._pruner._keep_ns, store._keys.lease("a/b")) == (7_200 * SECOND, b"/jobs/lease/a%2Fb")
    store.close()


def test_the_client_is_imported_only_when_a_store_is_opened() -> None:
    program = (
        "import sys; from tickglass.sched.stores import check_url\n"
        "check_url('etcd://h'); sys.exit('grpc' in sys.modules or 'aetcd' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_missing_client_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("tickglass.sched.stores.etcd.store")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aetcd", None)
    check_url("etcd://localhost")
    with pytest.raises(ConfigError, match=r'not installed \(aetcd\)(?s:.*)pip install "tickglass\[etcd\]"'):
        open_store("etcd://localhost", SystemClock())
