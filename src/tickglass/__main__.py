"""`python -m tickglass`: the command line, where the installed command is not on the path."""

from __future__ import annotations

from tickglass.cli import main

if __name__ == "__main__":
    main(prog_name="tickglass")
