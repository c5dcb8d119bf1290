"""Find the module and the name of a function that Python code refers to, without importing it.

Pure.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from tickglass.importing.literals import CannotSay

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Targets"]

_REFERENCE: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Targets:
    """What the names of one module refer to.

    Args:
        module: its code.
        name: its dotted name.
    """

    def __init__(self, module: ast.Module, name: str) -> None:
        self._name = name
        self._functions = {node.name: node for node in module.body if isinstance(node, _Function)}
        self._modules: dict[str, str] = {}
        self._members: dict[str, tuple[str, str]] = {}
        for node in ast.walk(module):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    bound = alias.asname or alias.name.partition(".")[0]
                    self._modules[bound] = alias.name if alias.asname else bound
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self._members[alias.asname or alias.name] = (self._absolute(node), alias.name)

    def of(self, node: ast.expr) -> str:
        """Return the target, "module:function".

        Raises:
            CannotSay: it is no function of a module, or not known which.
        """
        match node:
            case ast.Constant(value=str(reference)) if _REFERENCE.fullmatch(reference):
                return reference
            case ast.Name(id=name) if name in self._functions:
                return f"{self._name}:{name}"
            case ast.Name(id=name) if name in self._members:
                return ":".join(self._members[name])
            case ast.Attribute(value=owner, attr=name) if (module := self._module(owner)) is not None:
                return f"{module}:{name}"
            case _:
                raise CannotSay(f"this is no function of a module that can be named: {ast.unparse(node)}")

    def is_of_module(self, function: _Function) -> bool:
        """Return whether others can import this function: it is in no class and no other function."""
        return self._functions.get(function.name) is function

    def by_name(self, target: str, words: Sequence[object]) -> dict[str, object]:
        """Return positional arguments by their names.

        Raises:
            CannotSay: the function is in another module, or takes fewer.
        """
        function = self._function(target)
        if function is None:
            raise CannotSay(
                f"args= is positional, arguments here have names, and those of {target} are not in this file"
            )
        parameters = [each.arg for each in function.args.args]
        if function.args.posonlyargs or len(words) > len(parameters):
            raise CannotSay(f"args= has no names that {target} takes")
        return dict(zip(parameters, words, strict=False))

    def first_parameter(self, target: str) -> str:
        """Return the name of the function's first positional parameter; "" if it has none, or is in another module."""
        function = self._function(target)
        parameters = [] if function is None else [*function.args.posonlyargs, *function.args.args]
        return parameters[0].arg if parameters else ""

    def _function(self, target: str) -> _Function | None:
        module, _, name = target.partition(":")
        return self._functions.get(name) if module == self._name else None

    def _module(self, node: ast.expr) -> str | None:
        """Return the dotted name of the module that an expression refers to; None: it is none that was imported."""
        match node:
            case ast.Name(id=name) if name in self._modules:
                return self._modules[name]
            case ast.Name(id=name) if name in self._members and name.islower():  # else a class, or an object
                return ".".join(self._members[name])
            case ast.Attribute(value=owner, attr=name) if name.islower():
                module = self._module(owner)
                return None if module is None else f"{module}.{name}"
            case _:
                return None

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self._name.split(".")[: -node.level]
        return ".".join([*package, *([node.module] if node.module else [])]) or self._name.partition(".")[0]
