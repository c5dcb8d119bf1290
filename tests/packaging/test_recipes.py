"""The steps of CONTRIBUTING's recipes that no other test would miss."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

import pytest

from tickglass import cli
from tickglass.sched import triggers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

STORES: Final = "sched/stores"
CONTRACT: Final = "tests/contract/conftest.py"
ENVIRONMENTS: Final = "tests/chaos/environments.py"


def technologies(root: Path) -> set[str]:
    """Return the stores there are: a folder each, but for the one that lives in memory."""
    return {"memory", *(folder.name for folder in (root / STORES).iterdir() if (folder / "__init__.py").exists())}


def texts_in(tree: ast.Module) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def makers() -> set[str]:
    """Return the functions that make a trigger."""
    return {name for name in triggers.__all__ if callable(getattr(triggers, name)) and name.islower()}


def names_in(trees: Mapping[str, ast.Module], function: str) -> Iterator[set[str]]:
    """Yield all names of each module that defines this function."""
    for tree in trees.values():
        if any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body):
            yield {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_the_stores_are_found(root: Path) -> None:
    assert {"memory", "sqlite", "redis", "redlock", "etcd"} <= technologies(root)


def test_every_store_passes_the_contract(root: Path, trees: dict[str, ast.Module]) -> None:
    kits = {re.sub(r"\d+$", "", text) for text in texts_in(trees[CONTRACT])}
    assert sorted(technologies(root) - kits) == [], f"no kit in {CONTRACT}"


def test_every_shared_store_is_tried_under_faults(root: Path, trees: dict[str, ast.Module]) -> None:
    assert sorted(technologies(root) - {"memory"} - texts_in(trees[ENVIRONMENTS])) == [], f"not in {ENVIRONMENTS}"


def test_every_store_has_a_section_and_a_row(root: Path) -> None:
    page = (root / "docs/stores.md").read_text()
    for store in sorted(technologies(root)):
        assert f"\n## {store}://\n" in page
        assert re.search(rf"^\| `{store}://", page, re.MULTILINE), store


def executors(trees: Mapping[str, ast.Module]) -> set[str]:
    """Return the classes with the method of an executor: `prepare(call, done)`."""
    return {
        node.name
        for path, tree in trees.items()
        if path.startswith("sched/executors/")
        for node in tree.body
        if isinstance(node, ast.ClassDef) and any(_prepares(method) for method in node.body)
    }


def _prepares(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.FunctionDef)
        and node.name == "prepare"
        and [argument.arg for argument in node.args.args] == ["self", "call", "done"]
    )


def test_every_executor_passes_the_suite_of_all_executors(trees: dict[str, ast.Module]) -> None:
    suite = trees.get("tests/unit/executors/test_executor.py", ast.Module([], []))
    named = {node.id for node in ast.walk(suite) if isinstance(node, ast.Name)}
    assert sorted(executors(trees) - named) == []


def test_an_executor_is_found() -> None:
    text = "class A:\n    def prepare(self, call, done): ...\nclass B:\n    def prepare(self, task): ..."
    assert executors({"sched/executors/a.py": ast.parse(text)}) == {"A"}


def test_the_triggers_are_found() -> None:
    assert {"at", "cron", "every"} <= makers()


@pytest.mark.parametrize("name", sorted(makers()))
def test_every_trigger_is_public_described_and_read_back_from_its_text(
    name: str, root: Path, trees: dict[str, ast.Module]
) -> None:
    assert f"\n## `{name}(" in (root / "docs/triggers.md").read_text()
    assert name in texts_in(trees["src/tickglass/__init__.py"])
    (reader,) = names_in({path: tree for path, tree in trees.items() if not path.startswith("tests/")}, "trigger_of")
    assert name in reader, "the sidecar reads a trigger's text: sched/triggers/text.py"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_a_section(command: str, root: Path) -> None:
    headings = re.findall(r"^## .*`tickglass ([^`]+)`", (root / "docs/cli.md").read_text(), re.MULTILINE)
    assert any(command in re.findall(r"[a-z]+", heading) for heading in headings)


@pytest.mark.parametrize("what", ["a policy", "a store", "an executor", "a trigger", "a metric", "a command"])
def test_there_is_a_recipe_for_what_is_added_often(what: str, root: Path) -> None:
    assert re.search(rf"^### To add {what}\b", (root / "CONTRIBUTING.md").read_text(), re.MULTILINE)
