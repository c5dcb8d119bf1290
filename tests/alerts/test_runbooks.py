"""Each alert has a runbook page, and every query on it works."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from expressions import unknown
from servers import running_prometheus

from tickglass.alerts import alerts
from tickglass.alerts.written import runbooks
from tickglass.cli import main

if TYPE_CHECKING:
    from pathlib import Path

PAGES = runbooks()
SECTIONS = ["What it means", "How to confirm it", "What to do", "What silences it"]
QUERIES = [
    (name, query.strip())
    for name, text in PAGES.items()
    for query in re.findall(r"```promql\n(.*?)```", text, re.DOTALL)
]


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert sorted(PAGES) == sorted(f"{alert.name}.md" for alert in alerts())


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_it_means_how_to_confirm_it_what_to_do_and_what_silences_it(name: str) -> None:
    assert PAGES[name].startswith(f"# {name.removesuffix('.md')}\n")
    assert re.findall(r"^## (.*)$", PAGES[name], re.MULTILINE) == SECTIONS
    assert any(page == name for page, _ in QUERIES)
    for other in re.findall(r"`((?:Tickglass|DistributedLock)[A-Z]\w+)`", PAGES[name]):
        assert f"{other}.md" in PAGES, other


@pytest.mark.parametrize(("name", "query"), QUERIES)
def test_a_query_names_only_what_is_exported(name: str, query: str) -> None:
    assert unknown(query) == [], name


def test_prometheus_answers_every_query(tmp_path: Path) -> None:
    with running_prometheus(tmp_path, "{}") as server:
        for name, query in QUERIES:
            assert isinstance(server.query(query), list), name


def test_every_command_on_a_page_exists() -> None:
    for name, text in PAGES.items():
        for command, options in re.findall(r"`tickglass (\w+(?: export)?)([^`]*)`", text):
            shown = CliRunner().invoke(main, [*command.split(), "--help"])
            assert shown.exit_code == 0, (name, command)
            for option in re.findall(r"--[\w-]+", options):
                assert option in shown.output, (name, command, option)
