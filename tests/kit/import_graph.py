"""The import graph of the product, read off syntax trees; imports under TYPE_CHECKING count like all others."""

from __future__ import annotations

import ast
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

NOT_SHIPPED = ("tests/", "bench/", "examples/")
SEARCHED = ("src", "tests", "bench")  # folders whose modules are imported without the folder's name


class Import(NamedTuple):
    """One imported name. `from a import b` counts as a.b, because b may be a module of its own."""

    path: str
    line: int
    importer: str
    name: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.name}"

    @property
    def row(self) -> str:
        """The import as a table of exceptions names it: without its line, which moves too often."""
        return f"{self.path} imports {self.name}"


def shipped(trees: Mapping[str, ast.Module]) -> dict[str, ast.Module]:
    return {path: tree for path, tree in trees.items() if not path.startswith(NOT_SHIPPED)}


def module_of(path: str) -> str:
    """Return the import name of a file, given its path from the root."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    parts = parts[1:] if parts[0] in SEARCHED else ["tickglass", *parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_within(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def imports_in(trees: Mapping[str, ast.Module]) -> Iterator[Import]:
    """Yield everything imported, wherever in the file."""
    for path, tree in trees.items():
        module = module_of(path)
        for node in ast.walk(tree):
            for name in _names_imported(node, module, package=path.endswith("__init__.py")):
                yield Import(path, getattr(node, "lineno", 0), module, name)


def _names_imported(node: ast.AST, module: str, *, package: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = module.split(".")[: None if package and node.level == 1 else -(node.level - package)]
            base = ".".join([*above, *([base] if base else [])])
        yield from (f"{base}.{alias.name}" for alias in node.names)


def module_graph(imports: Iterable[Import], modules: frozenset[str]) -> dict[str, set[str]]:
    """Return which of these modules each one imports. A name that is no module belongs to the package around it."""
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for found in imports:
        imported = _module_around(found.name, modules)
        if imported not in {None, found.importer}:
            graph[found.importer].add(str(imported))
    return graph


def _module_around(name: str, modules: frozenset[str]) -> str | None:
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def circle_in(graph: Mapping[str, set[str]]) -> list[str]:
    """Return one circle of modules, each of which imports the next; empty if there is none."""
    finished: set[str] = set()
    for start in sorted(graph):
        way: list[str] = []
        todo = [(start, 0)]
        while todo:
            module, depth = todo.pop()
            finished.update(way[depth:])
            del way[depth:]
            if module in way:
                return way[way.index(module) :]
            if module not in finished:
                way.append(module)
                todo.extend((imported, len(way)) for imported in sorted(graph[module]))
        finished.update(way)
    return []
