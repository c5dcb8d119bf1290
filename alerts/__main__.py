"""Write what the repository keeps of the rules: `python -m tickglass.alerts FOLDER PAGE`."""

from __future__ import annotations

import sys
from pathlib import Path

from tickglass.alerts.export import files
from tickglass.alerts.reference import reference
from tickglass.alerts.rule import Links
from tickglass.alerts.scope import RuleScope

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Write the folder's files, and the reference page."""
    folder, page = map(Path, arguments)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files(RuleScope(), Links()).items():
        (folder / name).write_text(text, encoding="utf-8")
    page.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
