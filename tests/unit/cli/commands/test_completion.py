"""`tickglass completion` prints a script that makes a real shell complete."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from unit.cli.conftest import Filled, Tickglass

ASK = """
eval "$(tickglass completion bash)"
COMP_WORDS=(tickglass "$@"); COMP_CWORD=$#; COMPREPLY=()
_tickglass_completion tickglass
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_that_asks_this_command(shell: str, tickglass: Tickglass) -> None:
    result = tickglass("completion", shell)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"_TICKGLASS_COMPLETE={shell}_complete" in result.stdout


def test_another_shell_is_refused_with_those_there_are(tickglass: Tickglass) -> None:
    result = tickglass("completion", "tcsh")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in result.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "names"), [(["undr"], "undrain"), (["pause", "ni"], "nightly"), (["pause", "x", "--rea"], "--reason")]
)
def test_a_real_bash_completes(words: list[str], names: str, filled: Filled) -> None:
    filled.register("nightly")
    bash = shutil.which("bash")
    assert bash is not None
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "TICKGLASS_STORE": filled.url}
    told = subprocess.run(
        [bash, "--norc", "-c", ASK, "bash", *words], env=environment, capture_output=True, text=True, check=True
    )
    assert (told.stdout.split(), told.stderr) == ([names], "")
