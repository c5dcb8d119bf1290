"""What pages name is there: links, their anchors, files, folders and modules."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import pytest
from kit.import_graph import module_of

if TYPE_CHECKING:
    import ast
    from collections.abc import Callable, Iterable, Iterator, Mapping

PAGES: Final = ("*.md", "docs/*.md", "alerts/runbooks/*.md", "tests/**/*.md")
FOLDERS: Final = ("alerts", "bench", "dashboards", "docs", "examples", "sched", "src", "telemetry", "tests", "tools")
LINK: Final = re.compile(r"!?\[[^]]*\]\(([^)\s]+)\)")
HEADING: Final = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
CODE: Final = re.compile(r"```.*?^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)  # blocks are passed over
FILE: Final = re.compile(r"[\w.][\w./-]*\.(?:css|html|js|jsx|json|lua|md|py|sh|toml|yml)")
BELOW_A_FOLDER: Final = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*")
MODULE: Final = re.compile(r"tickglass(?:\.[a-z_]\w*)+(?:\.[A-Z]\w*)?")
TO_BE_CHOSEN: Final = re.compile(r"/[^/]*(?:NAME|ALERT).*")  # in recipes; the folder above it exists
PAGE_NAMED: Final = re.compile(r"\bdocs/[\w-]+\.md\b")
# Files that a page names and that users write themselves.
THEIRS: Final = frozenset({"app.py", "jobs.py"})


@pytest.fixture(scope="module")
def pages(root: Path) -> dict[str, str]:
    files = sorted({file for pattern in PAGES for file in root.glob(pattern)})
    return {str(file.relative_to(root)): file.read_text(encoding="utf-8") for file in files}


@pytest.fixture(scope="module")
def paths(root: Path) -> frozenset[str]:
    """Every file and folder of the repository, by its path from the root."""
    below = (found for folder in (*FOLDERS, ".ci") for found in (root / folder).rglob("*"))
    named = {found.relative_to(root).as_posix() for found in below if "__pycache__" not in found.parts}
    return frozenset({*named, *FOLDERS, *(found.name for found in root.glob("*") if found.is_file())})


def anchors_of(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower() for title in HEADING.findall(page))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def broken_links(path: str, pages: Mapping[str, str], paths: frozenset[str]) -> Iterator[str]:
    for target in LINK.findall(re.sub(r"```.*?^```", "", pages[path], flags=re.MULTILINE | re.DOTALL)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = _resolved(PurePosixPath(path).parent, file) if file else path
        if found not in paths or (anchor and anchor not in anchors_of(pages.get(found, ""))):
            yield f"{path}: {target}"


def _resolved(folder: PurePosixPath, relative: str) -> str:
    parts = list(folder.parts)
    for part in PurePosixPath(relative).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def wrong_names(path: str, page: str, paths: frozenset[str], is_module: Callable[[str], bool]) -> Iterator[str]:
    """Yield what stands in backquotes and looks like a file, a folder or a module of ours, and is none."""
    for written in CODE.findall(page):
        text = TO_BE_CHOSEN.sub("/", written)
        if FILE.fullmatch(text):
            right = text in THEIRS or is_path(text, paths)
        elif BELOW_A_FOLDER.fullmatch(text):
            right = text.rstrip("/") in paths
        else:
            right = not MODULE.fullmatch(text) or is_module(text)
        if not right:
            yield f"{path}: {text}"


def is_path(text: str, paths: Iterable[str]) -> bool:
    """Whether a file has this path or this name; `stream.py` and `sidecar/transport/stream.py` are both enough."""
    return any(f"/{known}".endswith(f"/{text.lstrip('/')}") for known in paths)


def is_module_in(trees: Mapping[str, ast.Module], root: Path) -> Callable[[str], bool]:
    files = {module_of(path): path for path in trees}

    def is_module(name: str) -> bool:
        if ".".join(name.split(".")[:2]) not in files:
            return True  # an attribute of a span, `tickglass.job.name` say
        around, _, last = name.rpartition(".")
        return name in files or (
            around in files and re.search(rf"\b{last}\b", (root / files[around]).read_text()) is not None
        )

    return is_module


def test_every_link_leads_somewhere(pages: dict[str, str], paths: frozenset[str]) -> None:
    found = {broken for path in pages for broken in broken_links(path, pages, paths)}
    assert sorted(found) == []


def test_every_file_folder_and_module_that_a_page_names_exists(
    pages: dict[str, str], paths: frozenset[str], trees: dict[str, ast.Module], root: Path
) -> None:
    is_module = is_module_in(trees, root)
    found = [wrong for path, page in pages.items() for wrong in wrong_names(path, page, paths, is_module)]
    assert sorted(set(found)) == []


def test_every_page_that_code_names_exists(trees: dict[str, ast.Module], root: Path, paths: frozenset[str]) -> None:
    others = [path for path in trees if not path.endswith("/test_docs.py")]
    named = {(path, page) for path in others for page in PAGE_NAMED.findall((root / path).read_text())}
    assert [f"{path}: {page}" for path, page in sorted(named) if page not in paths] == []


@pytest.mark.parametrize(
    ("link", "broken"),
    [
        ("[a](gone.md)", True),
        ("[a](pages/runs.md)", True),
        ("[a](../README.md#gone)", True),
        ("[a](#gone)", True),
        ("![picture](images/gone.png)", True),
        ("[a](runs.md)", False),
        ("[a](runs.md#at-the-timeout)", False),
        ("[a](#here-and-there)", False),
        ("[a](../README.md)", False),
        ("[a](https://example.org/gone.md)", False),
        ("```\n[a](gone.md)\n```", False),
    ],
)
def test_a_link_that_leads_nowhere_is_seen(link: str, broken: bool) -> None:  # noqa: FBT001 - a column of the table
    pages = {"pages/a.md": f"# Here, and there\n\n{link}\n", "pages/runs.md": "## At the timeout\n", "README.md": ""}
    assert bool(list(broken_links("pages/a.md", pages, frozenset(pages)))) is broken


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`sched/engine/gone.py`", True),
        ("`gone.py`", True),
        ("`engine/job.py`", True),
        ("`sched/gone/`", True),
        ("`tests/gone`", True),
        ("`sched/gone/NAME.py`", True),
        ("`tickglass.sched.gone`", True),
        ("`sched/job.py`", False),
        ("`job.py`", False),
        ("`sched/`", False),
        ("`sched/NAME.py`", False),
        ("`sched/NAME/`", False),
        ("`tickglass.sched.job`", False),
        ("`tickglass_job_due_total`", False),
        ("`run.cancelled`", False),
        ("```\ngone.py\n```", False),
        ("gone.py", False),
    ],
)
def test_a_name_of_nothing_is_seen(text: str, wrong: bool) -> None:  # noqa: FBT001 - a column of the table
    known = frozenset({"sched", "sched/job.py"})
    assert bool(list(wrong_names("a.md", text, known, "tickglass.sched.job".__eq__))) is wrong
