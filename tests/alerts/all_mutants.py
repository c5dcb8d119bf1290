"""Try every slip in every rule: `make mutants`. Ends with 1 if the cases miss one that makes a difference."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from kit import promtool
from kit.mutants import mutants

from tickglass.alerts import alerts


def main(wanted: list[str]) -> int:
    tried = survived = excused = 0
    for alert in alerts():
        if wanted and alert.name not in wanted:
            continue
        documents = promtool.rule_documents()
        spoiled = dict(mutants(documents[alert.name]))
        with tempfile.TemporaryDirectory() as home:
            left = promtool.survivors(Path(home), alert.name, spoiled)
        missed = [name for name in left if not promtool.same(alert.name, name)]
        tried, survived, excused = tried + len(spoiled), survived + len(missed), excused + len(left) - len(missed)
        told = "".join(f"\n    NOT NOTICED: {name}" for name in missed)
        sys.stdout.write(f"{alert.name}: {len(spoiled)} tried{told}\n")
    sys.stdout.write(f"{tried} tried, {excused} make no difference, {survived} not noticed\n")
    return int(survived > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
