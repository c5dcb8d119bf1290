"""A script has all the functions and values that it uses, and none that it does not."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.stores.redis import instances, scripts
from tickglass.sched.stores.redis.script_text import with_what_it_uses
from tickglass.sched.stores.redis.scripts import Script
from tickglass.sched.stores.redlock import scripts as redlock

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.servers import RedisServer

ALL = {
    f"{module.__name__}.{name}": it
    for module in (scripts, instances, redlock)
    for name, it in vars(module).items()
    if isinstance(it, Script)
}
COMMON = (files("tickglass.sched.stores.redis") / "common.lua").read_text("utf-8")
FUNCTIONS = re.findall(r"^local function (\w+)\(", COMMON, re.MULTILINE)


@pytest.mark.parametrize("name", ALL)
def test_every_common_function_that_a_script_names_is_defined_before_and_no_other_is_there(name: str) -> None:
    code = re.sub(r"--.*|'[^']*'", "", ALL[name].text)
    for function in FUNCTIONS:
        places = [found.start() for found in re.finditer(rf"\b{function}\b", code)]
        definitions = [
            found.end() - len(function) for found in re.finditer(rf"^local function {function}\b", code, re.MULTILINE)
        ]
        assert len(definitions) == bool(places), function
        assert not places or len(places) > 1, f"{function} is defined and not called"
        assert places[:1] == definitions, function


def test_the_server_compiles_every_script(own_redis: Callable[..., RedisServer]) -> None:
    server = own_redis()
    for script in ALL.values():
        assert server.say("SCRIPT", "LOAD", script.text) == script.sha


def test_a_value_that_no_function_needs_is_not_computed() -> None:
    base, constants, check = "local base = KEYS[1]", "local A, B = 1, 2", "if base then stop() end"
    common = f"{base}\n\nlocal clock = time()\nlocal now = clock[1]\n\n{constants}\n\n{check}"
    assert with_what_it_uses(common, "return B") == f"{base}\n\n{constants}\n\n{check}\n\nreturn B"
    assert "time()" in with_what_it_uses(common, "return now")


def test_a_release_asks_the_server_for_nothing_but_the_lease() -> None:
    assert "'TIME'" not in scripts.RELEASE.text
    assert "'TIME'" in scripts.ACQUIRE.text
    assert "expires_us" not in scripts.RELEASE.text


def test_every_common_function_is_a_block_of_its_own() -> None:
    for block in COMMON.split("\n\n"):
        names = re.findall(r"^local function (\w+)\(", block, re.MULTILINE)
        assert len(names) <= 1, names
        if names:
            code = [line for line in block.splitlines() if not line.startswith("--")]
            assert code[0].startswith("local function"), names
            assert code[-1] == "end" or (len(code) == 1 and code[0].endswith(" end")), names


def test_no_script_has_texts_in_other_quotes() -> None:
    assert not [name for name, it in ALL.items() if '"' in re.sub(r"--.*", "", it.text)]


def test_what_is_called_by_what_is_called_is_there_in_its_order() -> None:
    constant, own = "local A = 1", "return b('c') -- not c\n"
    a, b = "-- calls b\nlocal function a() return A end", "local function b() return a() end"
    common = f"{constant}\n\n{a}\n\n{b}\n\nlocal function c() end"
    assert with_what_it_uses(common, own) == f"{constant}\n\n{a}\n\n{b}\n\n{own}"
