"""What docs/cli.md shows is what one sees."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from tickglass.cli import COMMANDS, main

if TYPE_CHECKING:
    from unit.cli.conftest import Tickglass

PAGE = Path(__file__).parents[3].joinpath("docs/cli.md").read_text()


def test_the_sessions_on_the_page_are_true(tickglass: Tickglass) -> None:
    sessions = re.findall(r"^\$ tickglass (next .*)\n((?:\d.*\n)+)", PAGE, re.MULTILINE)
    assert len(sessions) == 2
    for words, output in sessions:
        assert tickglass(*shlex.split(words)).output == output


def test_every_option_of_these_commands_is_on_the_page() -> None:
    for name in COMMANDS:
        command = main.get_command(main.make_context("tickglass", [name]), name)
        assert command is not None
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.opts[0] in PAGE, f"{name} {parameter.opts}"
