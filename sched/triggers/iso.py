"""Read an instant as ISO 8601 writes it, to the nanosecond.

Pure. `datetime.fromisoformat` reads most of it, but cuts off without a word what
is finer than a microsecond.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

__all__ = ["read_iso"]

_ISO: Final = re.compile(r"[\dW-]+(?:[T ]\d[\d:]*(?:[.,](\d+))?(?:Z|[+-]\d[\d:]*)?)?", re.ASCII | re.IGNORECASE)


def read_iso(text: str) -> tuple[datetime, int]:
    """Return a datetime, naive where the text has no offset, and the nanoseconds that it is too coarse for.

    Raises:
        ValueError: not ISO 8601, or finer than a nanosecond.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError(text)
    digits = (match[1] or "").rstrip("0")
    if len(digits) > 9:
        raise ValueError(text)
    return datetime.fromisoformat(text.upper()), int(digits[6:].ljust(3, "0"))
