"""Each alert has a runbook page, and every query on it names what there is; tests/boards has them answered."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner
from kit.expressions import missing_at_compact, unknown

from tickglass.alerts import alerts
from tickglass.alerts.export import runbooks
from tickglass.cli import main

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
    assert missing_at_compact(query) == [], name


def test_every_command_on_a_page_exists() -> None:
    for name, text in PAGES.items():
        for command, options in re.findall(r"`tickglass (\w+(?: export)?)([^`]*)`", text):
            shown = CliRunner().invoke(main, [*command.split(), "--help"])
            assert shown.exit_code == 0, (name, command)
            for option in re.findall(r"--[\w-]+", options):
                assert option in shown.output, (name, command, option)
