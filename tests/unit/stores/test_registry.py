"""The registry says what each store is, so that its users need not know a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import ConfigError
from tickglass.sched.stores import check_exists, check_url, is_shared, open_store, scheme_of
from tickglass.sched.stores.memory.store import MemoryStore
from tickglass.sched.stores.registry import _STORES
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES: Final = {scheme: kind.form.example for scheme, kind in _STORES.items()}


@pytest.mark.parametrize(("scheme", "example"), EXAMPLES.items())
def test_the_example_of_each_store_is_right(scheme: str, example: str) -> None:
    check_url(example)
    assert scheme_of(example) == scheme


def test_only_a_store_in_memory_is_not_shared() -> None:
    assert [scheme for scheme, example in EXAMPLES.items() if not is_shared(example)] == ["memory"]


def test_a_store_in_memory_never_exists_already() -> None:
    with pytest.raises(ConfigError, match="no other process can look into it"):
        check_exists("memory://")


def test_a_file_exists_once_a_store_was_opened_in_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a%20b.db?keep=2h"
    with pytest.raises(ConfigError, match=f"there is no file {tmp_path}/a b.db"):
        check_exists(url)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a b.db").touch()
    with pytest.raises(ConfigError, match="is empty; no scheduler has ever used it"):
        check_exists(url)
    open_store(url, FakeClock()).close()
    check_exists(url)


def test_a_server_is_not_asked_whether_the_store_exists() -> None:
    check_exists("redis://no.such.host.invalid:6379/0")


@pytest.mark.parametrize("use", [check_exists, is_shared, scheme_of])
def test_a_wrong_url_is_refused(use: object) -> None:
    assert callable(use)
    with pytest.raises(ConfigError, match="there is no store 'postgres'"):
        use("postgres://h/db")


def test_the_options_of_a_store_in_memory_arrive() -> None:
    memory = open_store("memory://?keep=90m", FakeClock())
    assert isinstance(memory, MemoryStore)
    assert memory._keep_ns == 5_400 * SECOND
