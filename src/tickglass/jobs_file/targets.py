"""Find the function that a jobs file names; only modules under the prefixes that a program declares are imported.

A function that is not there stops nothing but its own job: each run of that job fails, and says why.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.errors import ConfigError, failure_text, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["NotImported", "TargetImports", "checked_prefixes", "is_under"]

_log: Final = logging.getLogger(__name__)


def checked_prefixes(targets: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the modules that a program lets a jobs file name, without full stops at their ends.

    Raises:
        ConfigError: one of them is no name of a module; "" would let the file name every module there is.
    """
    if isinstance(targets, str):
        raise ConfigError("targets are several prefixes", given=repr(targets), instead=(f"targets=({targets!r},)",))
    prefixes = []
    for target in targets:
        module = target.removesuffix(".") if isinstance(target, str) else ""
        if not all(part.isidentifier() for part in module.split(".")):
            raise ConfigError("a prefix of targets is a module's name", given=repr(target), examples=('"billing."',))
        prefixes.append(module)
    return tuple(prefixes)


def is_under(module: str, prefixes: Iterable[str]) -> bool:
    """Return whether a module is one of these, or lies in one of them."""
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


@dataclass(frozen=True, slots=True)
class NotImported:
    """Stands where a target is not there: fails when it is called, whatever it is given."""

    target: str
    why: str

    def __call__(self, **_arguments: object) -> None:
        """Fail.

        Raises:
            ImportError: always.
        """
        raise ImportError(f"{self.target}: {self.why}")


class TargetImports:
    """Imports targets, each module once, also one that cannot be imported."""

    def __init__(self) -> None:
        self._failures: dict[str, str] = {}  # by module

    def function(self, target: str, job: str) -> Callable[..., Any]:
        """Return the function that "module:function" names.

        If there is none, an error is logged, and a `NotImported` returned.
        """
        module, _, name = target.partition(":")
        why = self._failures.get(module)
        if why is None:
            try:
                found = getattr(import_module(module), name, None)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - what a module of the user's raises is its own
                why = self._failures[module] = failure_text(error)
                _log.exception("the target %s of job %s cannot be imported: each of its runs fails", target, job)
                return NotImported(target, why)
            if callable(found):
                return found  # type: ignore[no-any-return]
            why = _not_there(module, name, found)
        _log.error("the target %s of job %s cannot be imported: each of its runs fails: %s", target, job, why)
        return NotImported(target, why)


def _not_there(module: str, name: str, found: object) -> str:
    if found is not None:
        return f"{name} is a {type(found).__name__}, not a function"
    near = nearest(name, vars(import_module(module)))
    return f"{module} has no function {name}" + (f" ({' or '.join(near)}?)" if near else "")
