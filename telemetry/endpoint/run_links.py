"""Make links from a run to where else it can be seen: its trace, its lines in the log.

Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tickglass.sched.ports import RunRecord

__all__ = ["RunLink", "parse_run_link"]

_EXAMPLES: Final = (
    "Trace=https://tempo.example/trace/{run_id}",
    "Logs=https://logs.example/search?q={run_id}&from={from_ms}",
)
_AROUND_MS: Final = 60_000  # a log query begins a minute before the run, and ends a minute after it
_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_FIELDS: Final = ("job", "service", "owner", "run_id", "from_ms", "to_ms")


@dataclass(frozen=True, slots=True)
class RunLink:
    """A link on the page of each run.

    Args:
        name: as it is shown.
        template: a URL with fields in braces: job, service, owner, run_id (also the trace id), from_ms and to_ms.
    """

    name: str
    template: str

    def to(self, run: RunRecord, now_ns: int) -> str:
        """Return the address for a run; one that goes on ends now."""
        end_ns = now_ns if run.ended_wall_ns is None else run.ended_wall_ns
        values: Mapping[str, str] = {
            "job": run.job,
            "service": run.service,
            "owner": run.owner,
            "run_id": run.run_id,
            "from_ms": str(run.claimed_wall_ns // 1_000_000 - _AROUND_MS),
            "to_ms": str(end_ns // 1_000_000 + _AROUND_MS),
        }
        return _FIELD.sub(lambda field: quote(values[field[1]], safe=""), self.template)


def parse_run_link(text: str) -> RunLink:
    """Read "NAME=URL".

    Raises:
        ConfigError: it is none, or the URL has other fields.
    """
    name, _, template = text.partition("=")
    try:
        parts = urlsplit(template)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:  # brackets that are no IPv6 address
        is_url = False
    if not name.strip() or not is_url:
        raise ConfigError("a link is a name and a URL", given=text, examples=_EXAMPLES)
    unknown = [field for field in _FIELD.findall(template) if field not in _FIELDS]
    if unknown:
        instead = tuple(f"{{{field}}}" for field in _FIELDS)
        raise ConfigError(f"there is no field {{{unknown[0]}}} of a run", given=text, instead=instead)
    return RunLink(name.strip(), template)
