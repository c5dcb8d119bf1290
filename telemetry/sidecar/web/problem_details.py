"""Say in JSON why a request is not answered as asked (RFC 9457)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http import HTTPStatus

__all__ = ["API", "PROBLEM_TYPE", "Problem", "is_api", "problem"]

API: Final = "/api/v1"
PROBLEM_TYPE: Final = "application/problem+json"
_FOLDER: Final = "/api/"


class Problem(msgspec.Struct, frozen=True):
    """Why a request is not answered as asked.

    Args:
        title: the status in words.
        status: the status of the answer.
        detail: a sentence.
        instead: what was perhaps meant, best first.
    """

    title: str
    status: int
    detail: str
    instead: tuple[str, ...] = ()


def is_api(path: str) -> bool:
    """Return whether a path is one that programs ask for, and that is answered in JSON."""
    return path.startswith(_FOLDER)


def problem(
    status: HTTPStatus, detail: str, *, instead: tuple[str, ...] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer with a problem."""
    body = msgspec.json.encode(Problem(status.phrase, status, detail, instead))
    return Response(body, status, headers, PROBLEM_TYPE)
