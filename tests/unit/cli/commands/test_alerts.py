"""Rules are exported as they ship, with the user's own addresses, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from tickglass.alerts import Links, RuleScope, alerts, files

if TYPE_CHECKING:
    from pathlib import Path

    from unit.cli.conftest import Tickglass


def written(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_without_options_it_writes_what_ships_and_the_runbooks(tickglass: Tickglass, tmp_path: Path) -> None:
    result = tickglass("alerts", "export", str(tmp_path / "new" / "rules"))
    assert result.exit_code == 0, result.output
    folder = tmp_path / "new" / "rules"
    pages = {f"runbooks/{alert.name}.md" for alert in alerts()}
    assert written(folder) == {"tickglass-rules.yml", "alertmanager.yml", *pages}
    assert (folder / "tickglass-rules.yml").read_text() == files(RuleScope(), Links())["tickglass-rules.yml"]
    assert result.stdout.split() == [
        str(folder / name) for name in ("tickglass-rules.yml", "alertmanager.yml", "runbooks")
    ]


def test_the_operator_gets_a_manifest_with_the_users_addresses(tickglass: Tickglass, tmp_path: Path) -> None:
    options = ["--operator", "--selector", 'namespace="prod"', "--fleet", "prod", "--on-time", "0.1"]
    options += ["--runbook-base-url", "https://wiki.example.com/tg/", "--dashboard-base-url", "https://g.example.com/"]
    result = tickglass("alerts", "export", str(tmp_path), *options)
    assert result.exit_code == 0, result.output
    assert written(tmp_path) == {"prometheusrule.yml", "alertmanager.yml"}
    text = (tmp_path / "prometheusrule.yml").read_text()
    rules = {rule.get("alert"): rule for group in yaml.safe_load(text)["spec"]["groups"] for rule in group["rules"]}
    annotations = rules["DistributedLockStuck"]["annotations"]
    assert annotations["runbook_url"] == "https://wiki.example.com/tg/DistributedLockStuck.md"
    assert annotations["dashboard_url"].startswith("https://g.example.com/d/tickglass-locks?var-service={{")
    assert 'le="0.1",namespace="prod"' in text
    assert "100 ms" in rules["TickglassOnTimeBudgetBurnFast"]["annotations"]["description"]


def test_twice_the_same_words_are_twice_the_same_bytes(tickglass: Tickglass, tmp_path: Path) -> None:
    for folder in ("a", "b", "a"):
        tickglass("alerts", "export", str(tmp_path / folder))
    for name in written(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--selector", "prod"], 'namespace="prod"'),
        (["--fleet", "a b"], "billing-prod"),
        (["--on-time", "0.25"], "0.1"),
        (["--runbook-base-url", "ftp://x"], "runbook base URL"),
        (["--dashboard-base-url", "grafana"], "dashboard base URL"),
    ],
)
def test_what_is_wrong_is_named_with_a_right_spelling_and_nothing_is_written(
    options: list[str], word: str, tickglass: Tickglass, tmp_path: Path
) -> None:
    result = tickglass("alerts", "export", str(tmp_path / "out"), *options)
    assert result.exit_code == 2
    assert word in result.stderr
    assert written(tmp_path) == set()


def test_a_file_in_place_of_the_folder_is_a_message(tickglass: Tickglass, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = tickglass("alerts", "export", str(tmp_path / "file"))
    assert result.exit_code == 2
    assert "nothing can be written there" in result.stderr
