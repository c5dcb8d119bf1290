"""`tickglass dashboards export`: the boards as files, and what is wrong is said."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from boards.reading import ROOT, UIDS, asked, generated, nodes, parsed
from click.testing import CliRunner, Result
from promql_parser import VectorSelector

from tickglass.cli import main

if TYPE_CHECKING:
    from pathlib import Path


def export(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["dashboards", "export", *map(str, words)])


def test_without_a_wish_the_boards_are_those_that_are_checked_in(tmp_path: Path) -> None:
    result = export(tmp_path / "new" / "boards")
    assert result.exit_code == 0, result.output
    files = {file.name: json.loads(file.read_text()) for file in (tmp_path / "new" / "boards").iterdir()}
    assert files == {f"{uid}.json": generated(uid) for uid in UIDS}
    assert result.output.split() == sorted(str(tmp_path / "new" / "boards" / f"{uid}.json") for uid in UIDS)


def test_a_selector_is_in_every_query_and_in_every_variable(tmp_path: Path) -> None:
    assert export(tmp_path, "--selector", 'namespace="prod", cluster=~"eu-.*"').exit_code == 0
    for uid in UIDS:
        board = json.loads((tmp_path / f"{uid}.json").read_text())
        for query in asked(board):
            for node in nodes(parsed(query.expr)):
                if isinstance(node, VectorSelector) and node.name != "ALERTS":
                    matched = {matcher.name: matcher.value for matcher in node.matchers.matchers}
                    assert (matched["namespace"], matched["cluster"]) == ("prod", "eu-.*"), query.where
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                assert 'namespace="prod", cluster=~"eu-.*"' in variable["query"]["query"]


def test_a_data_source_is_the_one_to_begin_with(tmp_path: Path) -> None:
    assert export(tmp_path, "--datasource", "mimir").exit_code == 0
    board = json.loads((tmp_path / "tickglass-locks.json").read_text())
    assert board["templating"]["list"][0]["current"] == {"text": "mimir", "value": "mimir"}


def test_what_is_on_time_can_be_said(tmp_path: Path) -> None:
    assert export(tmp_path, "--on-time", "0.1").exit_code == 0
    text = (tmp_path / "tickglass-jobs.json").read_text()
    assert 'le=\\"0.1\\"' in text
    assert 'le=\\"0.008\\"' not in text
    assert "within 100 ms" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--selector", "namespace=prod"], "list of label matchers"),
        (["--selector", 'a="b" c="d"'], "list of label matchers"),
        (["--selector", 'a="b"}) or vector(1'], "list of label matchers"),
        (["--selector", 'service="billing"'], "labels of targets"),
        (["--selector", 'a=~"["'], "may not read"),
        (["--on-time", "0.3"], "bounds of the lateness histogram"),
    ],
)
def test_a_wrong_word_is_refused_and_nothing_is_written(tmp_path: Path, words: list[str], said: str) -> None:
    result = export(tmp_path / "boards", *words)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "boards").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = export(tmp_path / "file")
    assert result.exit_code == 2
    assert "nothing can be written there" in result.output


@pytest.fixture
def no_grafanalib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grafanalib", None)
    monkeypatch.delitem(sys.modules, "tickglass.dashboards.grafana", raising=False)


@pytest.mark.usefixtures("no_grafanalib")
def test_without_a_wish_the_boards_need_no_grafanalib(tmp_path: Path) -> None:
    result = export(tmp_path, "--on-time", "0.008", "--selector", "")
    assert result.exit_code == 0, result.output
    assert {file.name: json.loads(file.read_text()) for file in tmp_path.iterdir()} == {
        f"{uid}.json": generated(uid) for uid in UIDS
    }


@pytest.mark.usefixtures("no_grafanalib")
def test_without_grafanalib_a_wish_names_the_extra(tmp_path: Path) -> None:
    result = export(tmp_path, "--datasource", "mimir")
    assert result.exit_code == 2
    assert "tickglass[dashboards]" in result.output


def test_provisioning_names_what_the_boards_and_the_exemplars_need() -> None:
    folder = ROOT / "dashboards" / "provisioning"
    (provider,) = yaml.safe_load((folder / "dashboards" / "tickglass.yml").read_text())["providers"]
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)
    prometheus, tempo = yaml.safe_load((folder / "datasources" / "tickglass.yml").read_text())["datasources"]
    (destination,) = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    assert (destination["name"], destination["datasourceUid"]) == ("trace_id", tempo["uid"])


def test_the_page_names_every_panel() -> None:
    page = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")
    for uid in UIDS:
        assert uid in page
        for panel in generated(uid)["panels"]:
            assert re.search(rf"^(\| |### ){re.escape(panel['title'])}( \||$)", page, re.MULTILINE), panel["title"]
