"""Leave out of a script the common functions that it does not call.

Pure. The server makes every function anew each time it runs a script: those of common.lua that RELEASE does not call
took it 1 us of 10.

A function of common.lua is a block between empty lines: its comment, `local function NAME(`, and its body, without an
empty line in it. Texts are in single quotes.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["with_what_it_calls"]

_FUNCTION: Final = re.compile(r"^local function (\w+)\(", re.MULTILINE)
_NO_CODE: Final = re.compile(r"--.*|'[^']*'")  # comments and texts


def with_what_it_calls(common: str, own: str) -> str:
    """Return a script behind those blocks of common.lua that it needs, in their order."""
    blocks = common.split("\n\n")
    names = [_name_of(block) for block in blocks]
    bodies = {name: block for name, block in zip(names, blocks, strict=True) if name}
    needed: set[str] = set()
    unread = [own, *(block for name, block in zip(names, blocks, strict=True) if not name)]
    while unread:
        called = (_words_of(unread.pop()) & bodies.keys()) - needed
        needed |= called
        unread += [bodies[name] for name in called]
    return "\n\n".join([*(it for name, it in zip(names, blocks, strict=True) if not name or name in needed), own])


def _name_of(block: str) -> str:
    """Return the name of the function that the block is, "" for statements, which all scripts need."""
    found = _FUNCTION.search(block)
    return found[1] if found else ""


def _words_of(code: str) -> set[str]:
    return set(re.findall(r"\w+", _NO_CODE.sub("", code)))
