"""What docs/promises.md says of the tests is true: they are there, and each is the kind of proof that it is called."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE: Final = "docs/promises.md"
LEGEND: Final = re.compile(r"^\| \*(\w+)\* \|", re.MULTILINE)
PROOF: Final = re.compile(r"^  - \*(\w+)\*: \[(\w+)\]\(\.\./(tests/[\w/]+\.py)\)$")
ORDINARY: Final = frozenset({"processes", "history", "servers"})
LABORATORY: Final = frozenset({"shortened", "replay", "simulated"})
MARK: Final = " **(laboratory only)**"
# What a file has in it whose tests are of that kind; the others have no sign of their own.
SIGNS: Final = {
    "processes": r"subprocess|kit\.processes|chaos\.cluster",
    "history": r"chaos\.cluster",
    "property": r"hypothesis",
    "replay": r"promtool",
    "simulated": r"FakeClock|kit\.(?:rig|stand|metrics_stage|manual_locks|sidecar_events|suspended) ",
}


@dataclass(frozen=True)
class Promise:
    sentence: str
    proofs: tuple[tuple[str, str, str], ...]  # kind, test, file


def promises(page: str) -> Iterator[Promise]:
    """Yield every item, with what is listed below it.

    Raises:
        ValueError: a line below an item names no test in the form of the page.
    """
    listed = page.partition("\n## Promised, and held by no test of its own\n")[0]
    for item in re.findall(r"^- .*\n(?:  .*\n)*", listed, re.MULTILINE):
        sentence, *lines = item.splitlines()
        found = [PROOF.fullmatch(line) for line in lines]
        if None in found:
            raise ValueError(f"{sentence}: {lines[found.index(None)]!r} is not `  - *kind*: [test](../tests/file.py)`")
        yield Promise(sentence, tuple((one[1], one[2], one[3]) for one in found if one))


def faults(page: str, root: Path) -> Iterator[str]:
    """Yield what the page says wrongly."""
    legend = set(LEGEND.findall(page))
    for promise in promises(page):
        kinds = {kind for kind, _, _ in promise.proofs}
        if not kinds:
            yield f"{promise.sentence}: no test"
        elif bool(kinds & LABORATORY and not kinds & ORDINARY) != promise.sentence.endswith(MARK):
            yield f"{promise.sentence}: {', '.join(sorted(kinds))}"
        for kind, test, file in promise.proofs:
            if test not in named_in(root / file):
                yield f"{test}: not in {file}"
            elif kind not in legend:
                yield f"{test}: what is {kind}?"
            elif kind in SIGNS and not re.search(SIGNS[kind], (root / file).read_text()):
                yield f"{test}: nothing in {file} looks like {kind}"


@cache
def named_in(file: Path) -> frozenset[str]:
    """Return the names of the tests in a file; none if there is no such file."""
    nodes = ast.walk(ast.parse(file.read_text())) if file.is_file() else ()
    functions = (node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(name for name in functions if name.startswith("test_"))


def test_every_test_that_is_named_exists_and_is_what_it_is_called(root: Path) -> None:
    assert list(faults((root / PAGE).read_text(), root)) == []


def test_every_word_for_a_proof_is_used(root: Path) -> None:
    page = (root / PAGE).read_text()
    assert {kind for promise in promises(page) for kind, _, _ in promise.proofs} == set(LEGEND.findall(page))
    assert set(LEGEND.findall(page)) >= {*LABORATORY, *ORDINARY, *SIGNS}


def test_no_promise_is_listed_twice(root: Path) -> None:
    sentences = [promise.sentence for promise in promises((root / PAGE).read_text())]
    assert len(sentences) == len(set(sentences)) > 50


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        ("- It is kept.\n  - *function*: [test_kept](../tests/test_it.py)\n", None),
        ("- It is kept.\n  - *function*: [test_gone](../tests/test_it.py)\n", "not in tests/test_it.py"),
        ("- It is kept.\n  - *function*: [test_kept](../tests/test_gone.py)\n", "not in tests/test_gone.py"),
        ("- It is kept.\n  - *faith*: [test_kept](../tests/test_it.py)\n", "what is faith?"),
        ("- It is kept.\n  - *processes*: [test_kept](../tests/test_it.py)\n", "looks like processes"),
        ("- It is kept.\n  - *simulated*: [test_kept](../tests/test_it.py)\n", "kept.: simulated"),
        (f"- It is kept.{MARK}\n  - *simulated*: [test_kept](../tests/test_it.py)\n", None),
        (f"- It is kept.{MARK}\n  - *function*: [test_kept](../tests/test_it.py)\n", ": function"),
        (
            "- It is kept.\n"
            + "".join(f"  - *{kind}*: [test_kept](../tests/test_it.py)\n" for kind in ("function", "simulated")),
            "function, simulated",
        ),
        ("- It is kept.\n", "no test"),
    ],
)
def test_a_wrong_item_is_seen(tmp_path: Path, item: str, fault: str | None) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_it.py").write_text("FakeClock\ndef test_kept(): ...\n")
    legend = "".join(f"| *{kind}* | |\n" for kind in ("function", "processes", "simulated"))
    found = list(faults(f"{legend}\n{item}", tmp_path))
    assert len(found) == (fault is not None)
    assert fault is None or fault in found[0]


def test_a_line_that_is_not_read_is_an_error() -> None:
    with pytest.raises(ValueError, match="is not"):
        list(promises("- It is kept.\n  - function: [test_kept](../tests/test_it.py)\n"))
