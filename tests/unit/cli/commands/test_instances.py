"""`tickglass instances` shows who lives, in which version, and whose jobs differ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.ports import InstanceRecord

if TYPE_CHECKING:
    from pathlib import Path

    from unit.cli.conftest import Filled, Tickglass


def join(filled: Filled, owner: str, fingerprint: str, *jobs: str, state: str = "running") -> None:
    filled.store.join(InstanceRecord("billing", owner, f"i-{owner}", "1.2.3", fingerprint, state), jobs)


def rows(text: str) -> dict[str, str]:
    return {line.split()[0]: line for line in text.splitlines()[2:]}


def test_instances_are_shown_with_state_version_and_whether_their_jobs_differ(
    filled: Filled, tickglass: Tickglass
) -> None:
    join(filled, "n1", "f1", "a", "b")
    join(filled, "n2", "f1", "a", "b")
    join(filled, "n3", "f2", "a", state="draining")
    join(filled, "n4", "f1", "a", "b", state="left")
    found = rows(tickglass("instances", filled.url).stdout)
    assert found.keys() == {"n1", "n2", "n3"}
    assert found["n1"].split()[1:5] == ["billing", "running", "1.2.3", "2"]
    assert "draining" in found["n3"]
    assert "1: lacks b" in found["n3"]
    assert rows(tickglass("instances", filled.url, "--all").stdout).keys() == {"n1", "n2", "n3", "n4"}


def test_instances_as_json_have_their_jobs(filled: Filled, tickglass: Tickglass) -> None:
    join(filled, "n1", "f1", "b", "a")
    (it,) = json.loads(tickglass("instances", filled.url, "--json").stdout)
    assert (it["owner"], it["incarnation"], it["living"]) == ("n1", "i-n1", True)
    assert (it["jobs"], it["difference"]) == (["a", "b"], "")
    assert it["seen_at"].startswith("20")


def test_only_those_of_a_service_are_shown_and_none_is_no_error(filled: Filled, tickglass: Tickglass) -> None:
    join(filled, "n1", "f1", "a")
    none = tickglass("instances", filled.url, "--service", "mail")
    assert (none.exit_code, none.stdout, none.stderr) == (0, "", "no instances\n")


def test_jobs_say_which_instances_have_them(filled: Filled, tickglass: Tickglass) -> None:
    for name in ("a", "b", "c"):
        filled.register(name)
    filled.register("d", service="mail")
    join(filled, "n1", "f1", "a", "b")
    join(filled, "n2", "f2", "a")
    found = {job["name"]: job["instances"] for job in json.loads(tickglass("jobs", filled.url, "--json").stdout)}
    assert found == {"a": "all", "b": "some", "c": "retired", "d": "no instance"}
    assert rows(tickglass("jobs", filled.url).stdout)["c"].split()[-1] == "retired"


@pytest.mark.parametrize("words", [("instances",), ("forget", "sync")])
def test_the_default_store_is_found_and_where_there_is_none_it_is_told_how_to_name_one(
    words: tuple[str, ...], filled: Filled, tickglass: Tickglass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    filled.register("sync")
    assert tickglass(*words).exit_code == 0
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    result = tickglass(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: no store is named, and the default one is not in this folder: ")
