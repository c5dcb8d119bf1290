"""Write a jobs file from what other schedulers are told: `tickglass import crontab` and `import apscheduler`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tickglass.cli.lazy_group import EXIT_NO_ANSWER
from tickglass.importing import read_apscheduler, read_crontab
from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.importing import Imported

__all__ = ["imports"]

_STDIN: Final = "-"
_SYSTEM_CRONTAB: Final = Path("/etc/crontab")
_SYSTEM_FOLDER: Final = Path("/etc/cron.d")


def _options(command: Callable[..., None]) -> Callable[..., None]:
    output = click.option(
        "--output",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="Write a new file here. Default: standard output.",
    )
    zone = click.option("--tz", metavar="ZONE", help="The zone of the machine's clock, e.g. Europe/Berlin.")
    source = click.argument("source", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
    return source(zone(output(command)))


@click.group("import", short_help="Write a jobs file from a crontab, or from APScheduler.")
def imports() -> None:
    """Write a jobs file that says what a crontab, or a program for APScheduler, says.

    Nothing of the source is run, and nothing is left out: what cannot be said the
    same way has a line "# remark: ..." above it. Exit code 1 if there is a remark.
    """


@imports.command("crontab")
@click.option(
    "--system/--no-system",
    default=None,
    help="Whether a column names the user, as in /etc/crontab. Default: if that is certain.",
)
@_options
def crontab(source: Path, tz: str | None, output: Path | None, *, system: bool | None) -> None:
    """Write a jobs file from a crontab; FILE may be - for standard input.

    \b
    crontab -l | tickglass import crontab - --tz Europe/Berlin > jobs.toml
    tickglass import crontab /etc/crontab --output jobs.toml
    """  # noqa: D301 - \b is for click: the lines after it stay as they are
    if system is None and (source == _SYSTEM_CRONTAB or source.parent == _SYSTEM_FOLDER):
        system = True
    _tell(read_crontab(_text(source), system=system, tz=tz), output)


@imports.command("apscheduler")
@click.option("--module", metavar="NAME", help="Dotted name of the module. Default: that of the file, in its packages.")
@_options
def apscheduler(source: Path, tz: str | None, output: Path | None, module: str | None) -> None:
    """Write a jobs file from a Python file that gives jobs to APScheduler 3.

    The file is read and not run. FILE may be - for standard input, with --module.
    Jobs that are in a job store alone are not read.

    \b
    tickglass import apscheduler shop/scheduling.py --tz Europe/Berlin > jobs.toml
    """  # noqa: D301 - \b is for click: the lines after it stay as they are
    if module is None and str(source) == _STDIN:
        raise ConfigError("standard input has no name", instead=("--module shop.scheduling",))
    _tell(read_apscheduler(_text(source), module=module or _module_of(source), tz=tz), output)


def _text(source: Path) -> str:
    try:
        data = sys.stdin.buffer.read() if str(source) == _STDIN else source.read_bytes()
    except OSError as error:
        raise ConfigError(f"the file cannot be read: {error.strerror}", given=str(source)) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"line {line} is not UTF-8", given=str(source)) from error


def _module_of(source: Path) -> str:
    """Return the dotted name by which the file is imported: with its packages, which are folders with an __init__."""
    file = source.resolve()
    names = [] if file.stem == "__init__" else [file.stem]
    for folder in file.parents:
        if not (folder / "__init__.py").exists():
            break
        names.insert(0, folder.name)
    return ".".join(names)


def _tell(found: Imported, output: Path | None) -> None:
    if output is None:
        click.echo(found.text, nl=False)
    else:
        _write(output, found.text)
    counts = (
        f"{_count(found.jobs, 'job')} written, {found.kept} left as comments, {_count(len(found.remarks), 'remark')}"
    )
    click.echo(counts, err=True)
    if found.remarks:
        click.get_current_context().exit(EXIT_NO_ANSWER)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _write(output: Path, text: str) -> None:
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"no new file can be written there: {error.strerror}", given=str(output)) from error
