"""Say which job is meant, and which declaration of it.

A job is its service and its name: services that share a store may use the same names. Two declarations of one job
differ in the trigger, or in the function that is called. Instances that run the same program have the same declaration;
so have two versions of it, unless one changed the trigger, or moved or renamed the function.

Pure but for looking at the function.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["JobId", "TargetedFunction", "declaration_of", "target_of"]

_DIGITS: Final = 8  # of a hash: two declarations of one job have the same by chance once in four billion


class JobId(NamedTuple):
    """A job's identity. With a due instant it is that of an occurrence.

    Args:
        service: what the job belongs to.
        name: unique within the service.
    """

    service: str
    name: str

    def __str__(self) -> str:
        """Return `service/name`, as people and keys of stores read it; no two jobs have the same text.

        A "/" within a part is written "%2F", and a "%" is "%25". This is also the resource of a job that names none.
        """
        return f"{_escaped(self.service)}/{_escaped(self.name)}"

    @classmethod
    def read(cls, text: str) -> JobId:
        """Return the job of such a text.

        Raises:
            ValueError: it has not exactly two parts.
        """
        service, name = text.split("/")
        return cls(unquote(service), unquote(name))


class TargetedFunction(partial[Any]):
    """A function with its keyword arguments, and with a target that was written down, as in a jobs file.

    Attributes:
        target: what `target_of` answers; it differs if the arguments do.
    """

    target: str

    @classmethod
    def of(cls, function: Callable[..., Any], target: str, arguments: Mapping[str, Any]) -> TargetedFunction:
        """Return the function under this target, bound to these arguments."""
        bound = cls(function, **arguments)
        told = json.dumps(arguments, sort_keys=True, default=str) if arguments else ""
        bound.target = target + told
        return bound


@lru_cache(maxsize=1_024)  # ten thousand jobs share few
def declaration_of(trigger: str, target: str) -> str:
    """Return 8 hexadecimal digits that stand for a job's trigger and the target of its function, see `target_of`."""
    return hashlib.sha256(f"{trigger}\0{target}".encode()).hexdigest()[:_DIGITS]


def target_of(function: Callable[..., Any]) -> str:
    """Return the function's module and name, as `app:sync`; of a script, its file's name without the ending.

    Of a `TargetedFunction` it is the target that was written down.
    """
    while isinstance(function, partial):
        if isinstance(function, TargetedFunction):
            return function.target
        function = function.func
    function = inspect.unwrap(function)
    named = function if hasattr(function, "__qualname__") else type(function)
    module = str(getattr(named, "__module__", ""))
    if module == "__main__":
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)  # of `python -m app`; a script has none
        module = spec.name if spec is not None else Path(str(getattr(main, "__file__", "") or "")).stem
    return f"{module}:{named.__qualname__}"


def _escaped(part: str) -> str:
    return part.replace("%", "%25").replace("/", "%2F")
