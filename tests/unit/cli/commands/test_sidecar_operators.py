"""Who may act through a sidecar, as the options of `tickglass sidecar` say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from tickglass.cli.commands.sidecar import operator_options
from tickglass.telemetry.endpoint.operators import Operators

if TYPE_CHECKING:
    from pathlib import Path

    from unit.cli.conftest import Tickglass

PROXY = ("--trusted-user-header", "X-User", "--trusted-proxy", "::1", "--operators", "anna, bob")


def read(*words: str, **environment: str) -> Operators | None:
    told: list[Operators | None] = []

    @click.command()
    @operator_options
    def command(operators: Operators | None) -> None:
        told.append(operators)

    result = CliRunner().invoke(command, words, env=environment, catch_exceptions=False, standalone_mode=False)
    assert result.exit_code == 0
    return told[0]


def test_by_default_nobody_acts() -> None:
    assert read() is None


def test_operators_have_a_token_or_are_named_by_a_proxy() -> None:
    assert read("--allow-control", "--operator-token", " op\n") == Operators(token="op", names=frozenset())
    assert read("--allow-control", TICKGLASS_OPERATOR_TOKEN="op\n") == Operators(token="op", names=frozenset())
    proxied = read("--allow-control", *PROXY)
    assert proxied == Operators(header="X-User", proxies=("::1",), names=frozenset({"anna", "bob"}))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--allow-control",), "nobody could act"),
        (("--allow-control", *PROXY[:4]), "nobody could act"),
        (("--allow-control", *PROXY[2:]), "nobody could act"),
        (("--allow-control", "--operator-token", "op", *PROXY[4:]), "together"),
        (("--allow-control", "--operator-token", "op", *PROXY[:2]), "together"),
        (("--allow-control", "--trusted-user-header", "X User", *PROXY[2:]), "no header's name"),
        (("--allow-control", *PROXY[:2], "--trusted-proxy", "proxy.local", *PROXY[4:]), "is an IP address"),
        (("--allow-control", "--operator-token", "two words"), "the token in --operator-token"),
        (("--operator-token", "op"), "--allow-control"),
        (PROXY, "--allow-control"),
        (("--allow-control", "--operator-token", "same", "--token", "same"), "a token of their own"),
    ],
)
def test_what_lets_nobody_act_or_everybody_is_refused(
    words: tuple[str, ...], message: str, tmp_path: Path, tickglass: Tickglass
) -> None:
    result = tickglass("sidecar", *words, XDG_RUNTIME_DIR=str(tmp_path))
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert message in result.stderr
