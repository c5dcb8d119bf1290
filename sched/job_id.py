"""Say which job is meant: its service and its name. Services that share a store may use the same names.

Pure: no I/O, no clock reads, no logging.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

__all__ = ["JobId"]


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


def _escaped(part: str) -> str:
    return part.replace("%", "%25").replace("/", "%2F")
