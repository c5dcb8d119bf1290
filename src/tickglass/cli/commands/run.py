"""`tickglass run`: find a scheduler in a module and run it until told to stop."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from tickglass.cli.lazy_group import EXIT_LEFT
from tickglass.sched.errors import ConfigError, nearest
from tickglass.scheduler import Scheduler
from tickglass.telemetry.logs import configure_logging

__all__ = ["find_scheduler", "run"]

_LEVELS: Final = ("debug", "info", "warning", "error")


@click.command
@click.argument("where", metavar="MODULE:SCHEDULER")
@click.option("--log-format", type=click.Choice(["console", "json"]), default="console", show_default=True)
@click.option("--log-level", type=click.Choice(_LEVELS), default="info", show_default=True)
def run(where: str, log_format: str, log_level: str) -> None:
    """Run a scheduler until SIGTERM or Ctrl-C.

    MODULE is importable from here, SCHEDULER is the name of a Scheduler in it:
    `tickglass run app:scheduler` runs what app.py calls `scheduler`.

    The first signal drains: nothing new is claimed, and runs go on until
    the scheduler's drain deadline, then they are asked to stop. A second
    signal asks them at once. Exit code 4 says that some did not end; their
    leases expire by themselves.
    """
    configure_logging(log_format, log_level)
    left = find_scheduler(where).run()
    if left:
        logging.getLogger("tickglass").error("left running: %s", ", ".join(left))
        logging.shutdown()
        sys.stdout.flush()
        os._exit(EXIT_LEFT)  # a normal exit would wait for threads that runs have started


def find_scheduler(where: str) -> Scheduler:
    """Return the scheduler that "module:name" names.

    Raises:
        ConfigError: there is no such module, name or scheduler.
    """
    module_name, colon, name = where.partition(":")
    if not (colon and name and all(part.isidentifier() for part in module_name.split("."))):
        named = where if where.isidentifier() else "app"
        problem = "a scheduler is named by its module, a colon and its name"
        raise ConfigError(problem, given=where, instead=(f"{named}:scheduler",))
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that a file here does not shadow a library
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise  # the module exists, but something that it imports does not
        raise ConfigError(
            f"there is no module {error.name} in {here}",
            given=where,
            span=(0, len(module_name)),
            instead=tuple(f"{near}:{name}" for near in _near_modules(module_name)),
        ) from error
    found = getattr(module, name, None)
    span = (len(module_name) + 1, len(where))
    if found is None:
        others = [key for key, value in vars(module).items() if isinstance(value, Scheduler)]
        near = nearest(name, others) or others
        instead = tuple(f"{module_name}:{other}" for other in near)
        raise ConfigError(f"{module_name} has no {name}", given=where, span=span, instead=instead)
    if not isinstance(found, Scheduler):
        raise ConfigError(f"{name} is a {type(found).__name__}, not a Scheduler", given=where, span=span)
    return found


def _near_modules(name: str) -> tuple[str, ...]:
    """Return the modules of this folder that a wrong name may mean; `app.py` means `app`."""
    here = [path.stem for path in Path.cwd().glob("*.py")]
    return (stem,) if (stem := name.removesuffix(".py")) in here else nearest(name, here)
