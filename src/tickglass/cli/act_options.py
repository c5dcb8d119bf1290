"""Declare what commands that act share: who acts, why, until when, on which store; and do the act.

An act is one call of `Control`; these commands add words, and no rule of their own.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from tickglass.cli.act_text import act_json
from tickglass.cli.instants import read_duration, read_instant
from tickglass.cli.name_completion import complete_services
from tickglass.cli.stores import existing_store, store_argument
from tickglass.cli.text import shown
from tickglass.control import Control
from tickglass.sched.errors import ConfigError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tickglass.sched.control.audit import Act
    from tickglass.sched.ports import Store

__all__ = ["act_options", "acting", "ending_options", "service_option", "tell"]

F = TypeVar("F", bound="Callable[..., Any]")

_WRITES: Final = frozenset({"write_control", "unlock"})


def _reason(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str:
    if text is None or not text.strip():
        raise ConfigError(
            "say why: the reason is in the audit log, and shown to those who wonder",
            examples=('--reason "the warehouse is moved"',),
        )
    return text


def _name(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None and not text.strip():
        raise ConfigError("--by is empty: say who acts", examples=("--by anna",))
    return text


def act_options(command: F) -> F:
    """Add what every act takes: the store, why, by whom, and how the answer is written."""
    for decorate in (
        click.option("--json", "as_json", is_flag=True, help="Print the act as one JSON object."),
        click.option("--by", metavar="NAME", callback=_name, help="Who acts, for the audit log. Default: the user."),
        click.option("--reason", metavar="TEXT", callback=_reason, help="Why, for the audit log. Required."),
        store_argument,
    ):
        command = decorate(command)
    return command


def ending_options(command: F) -> F:
    """Add until when it stands."""
    for decorate in (
        click.option("--until", metavar="INSTANT", callback=read_instant, help="Until then. Default: until undone."),
        click.option("--for", "for_", metavar="DURATION", callback=read_duration, help="For so long, e.g. 2h."),
    ):
        command = decorate(command)
    return command


def service_option(text: str) -> Callable[[F], F]:
    """Add whose job or instance is meant."""
    return click.option("--service", metavar="NAME", shell_complete=complete_services, help=text)


@contextmanager
def acting(store_url: str, by: str | None) -> Iterator[tuple[Control, Store]]:
    """Open a store to act on it.

    Raises:
        ConfigError: the URL is wrong, or the store does not exist.
        ControlRefused: the act cannot be done.
        StoreUnavailable: the store does not answer; standard error says if the act may have been done nevertheless.
    """
    with existing_store(store_url) as store:
        try:
            yield Control(store, by=by), store
        except StoreUnavailable as error:
            if error.operation in _WRITES:
                click.echo("no answer came to the act, so it may have been done: see tickglass audit", err=True)
            raise


def tell(act: Act, sentence: str, *, as_json: bool) -> None:
    """Say what was done: a sentence for people, or one JSON object on a line."""
    click.echo(json.dumps(act_json(act)) if as_json else shown(sentence))
