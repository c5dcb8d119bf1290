"""Write the boards: `python -m tickglass.dashboards.export FOLDER`. The same boards give the same bytes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tickglass.dashboards.boards import boards
from tickglass.dashboards.reference import reference
from tickglass.dashboards.scope import BoardScope
from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["files", "shipped"]

GENERATED: Final = "dashboards/generated"
PAGE: Final = "docs/dashboards.md"


def files(scope: BoardScope, datasource: str = "") -> Mapping[str, str]:
    """Return the JSON of every board, by file name.

    Raises:
        ConfigError: grafanalib is not installed.
    """
    try:
        from tickglass.dashboards.grafana import as_grafana  # noqa: PLC0415 - an extra: only here is it needed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("grafanalib", "attr"):
            raise
        raise ConfigError(
            "boards are written with grafanalib, which is not installed",
            instead=("pip install 'tickglass[dashboards]'",),
        ) from error
    return {
        f"{board.uid}.json": json.dumps(as_grafana(board, scope, datasource), indent=2, sort_keys=True) + "\n"
        for board in boards(scope)
    }


def shipped() -> Mapping[str, str]:
    """Return what `files` returns for the scope without a wish, as it lies in the wheel; needs no grafanalib."""
    folder = Path(__file__).parent / "generated"
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.json"))}


def main(arguments: list[str]) -> None:
    """Write what is generated below the folder given, laid out as in the repository."""
    (root,) = map(Path, arguments)
    texts = {f"{GENERATED}/{name}": text for name, text in files(BoardScope()).items()} | {PAGE: reference()}
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
