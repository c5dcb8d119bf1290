"""Say who may act over HTTP.

Pure: values only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Operators"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """Who may act.

    Args:
        token: that operators send; "" for none.
        header: where a trusted proxy names its user; "" for none.
        proxies: addresses of proxies that are trusted to.
        names: users of the proxy who are operators; its other users are viewers.
    """

    token: str = ""
    header: str = ""
    proxies: Collection[str] = ()
    names: Collection[str] = ()
