"""Leave out of a script what it does not use of the common functions and values.

Pure. The server makes every function anew each time it runs a script: those of common.lua that RELEASE does not call
took it 1 us of 10, and the time that it does not ask for another one.

A function of common.lua is a block between empty lines: its comment, `local function NAME(`, and its body, without an
empty line in it. So is a value: `local NAME = ` or `local NAME, NAME = `, and more of these. Every script has the other
blocks. Texts are in single quotes.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["with_what_it_uses"]

_DEFINED: Final = re.compile(r"^local (?:function (?=\w+\())?(\w+(?:, \w+)*)", re.MULTILINE)
_NO_CODE: Final = re.compile(r"--.*|'[^']*'")  # comments and texts


def with_what_it_uses(common: str, own: str) -> str:
    """Return a script behind those blocks of common.lua that it needs, in their order."""
    blocks = common.split("\n\n")
    names = [_names_in(block) for block in blocks]
    by_name = {name: place for place, defined in enumerate(names) for name in defined}
    needed = {place for place, defined in enumerate(names) if not defined}
    unread = [own, *(blocks[place] for place in needed)]
    while unread:
        used = {by_name[word] for word in _words_of(unread.pop()) & by_name.keys()} - needed
        needed |= used
        unread += [blocks[place] for place in used]
    return "\n\n".join([*(blocks[place] for place in sorted(needed)), own])


def _names_in(block: str) -> set[str]:
    """Return what the block defines, nothing for statements, which all scripts need."""
    return {name for names in _DEFINED.findall(block) for name in names.split(", ")}


def _words_of(code: str) -> set[str]:
    return set(re.findall(r"\w+", _NO_CODE.sub("", code)))
