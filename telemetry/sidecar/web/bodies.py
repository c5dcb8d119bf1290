"""Read what a request says: its body, up to a size, and numbers in its query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["FIELDS_MAX", "FORM_MAX", "body_of", "form_of", "number_in"]

FORM_MAX: Final = 65_536  # bytes of a form: a long reason, each of its letters in nine bytes
FIELDS_MAX: Final = 16
_NUMBER_MAX: Final = (1 << 63) - 1


async def body_of(request: Request, size_max: int) -> bytes | None:
    """Return the body; None if it is larger, or if the client has gone."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > size_max:
                return None
    except ClientDisconnect:
        return None
    return body


async def form_of(request: Request) -> dict[str, str]:
    """Read a small form; a larger one is not ours and is treated as empty."""
    body = await body_of(request, FORM_MAX)
    if body is None:
        return {}
    try:
        fields = parse_qs(body.decode("latin-1"), max_num_fields=FIELDS_MAX)
    except ValueError:
        return {}  # too many of them
    return {name: values[0] for name, values in fields.items()}


def number_in(text: str) -> int | None:
    """Return a whole number that stores can hold; None if it is none."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_NUMBER_MAX))):
        return None
    return int(text) if int(text) <= _NUMBER_MAX else None
