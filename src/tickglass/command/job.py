"""Make a job of a command, and decide its outcome by how it ended."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tickglass.command.process import run_to_end
from tickglass.sched.errors import ConfigError, TickglassError
from tickglass.sched.escaping import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.command.process import Ended
    from tickglass.sched.run import Run

__all__ = ["CommandFailed", "command_job"]


class CommandFailed(TickglassError):  # noqa: N818 - says what happened
    """A command could not be started, or it ended otherwise than with exit code 0.

    Args:
        problem: what happened, in one sentence without a full stop.
        code: the exit code; negative: the number of the signal that ended it; None: it was not started.
        errors: the end of its standard error, at most 2,000 characters.
    """

    def __init__(self, problem: str, *, code: int | None = None, errors: str = "") -> None:
        self.problem = problem
        self.code = code
        self.errors = errors
        super().__init__(f"{problem}\n{errors}" if errors else problem)


def command_job(command: str | Sequence[str]) -> Callable[[Run], None]:
    """Return the function of a job that runs a command.

    Such a job needs a name: `scheduler.add(command_job("backup --all"), cron("30 2 * * *"), name="backup")`.
    A run of it raises `CommandFailed` unless the exit code is 0.

    Args:
        command: a line for `/bin/sh -c`, or the words of a command that is started without a shell.

    Raises:
        ConfigError: it is empty, is no text, or holds a NUL.
    """
    if isinstance(command, str):
        if not command.strip():
            raise ConfigError("a command is not empty", given=repr(command), examples=('"backup --all"',))
        return _CommandJob(("/bin/sh", "-c", _checked(command)), command)
    words = tuple(map(_checked, _words(command)))
    if not words or not words[0]:
        raise ConfigError("a command has at least one word", given=repr(command), examples=('["backup", "--all"]',))
    return _CommandJob(words, list(words))


def _words(command: object) -> Sequence[object]:
    if isinstance(command, list | tuple):
        return command
    raise ConfigError(
        f"a command is text or a list of words, not {type(command).__name__}",
        given=repr(command),
        examples=('"backup --all"', '["backup", "--all"]'),
    )


def _checked(word: object) -> str:
    if not isinstance(word, str):
        raise ConfigError(
            f"a word of a command is text, not {type(word).__name__}", given=repr(word), instead=(f'"{word}"',)
        )
    if "\0" in word:
        raise ConfigError("a command holds no NUL", given=repr(word))
    return word


class _CommandJob:
    """The function of a job that runs a command."""

    def __init__(self, words: Sequence[str], written: object) -> None:
        self._words = words
        # Part of the job's declaration, see identity.py: programs with different commands declare different jobs.
        self.__qualname__ = f"command_job({written!r})"

    def __call__(self, run: Run) -> None:
        """Run the command to its end.

        Raises:
            CommandFailed: it was not started, or it did not end with exit code 0.
        """
        try:
            ended = run_to_end(self._words, run)
        except OSError as error:
            name = shown(self._words[0])
            raise CommandFailed(f"{name} cannot be started: {error.strerror or error}") from error
        if ended.code:
            raise CommandFailed(_problem(ended), code=ended.code, errors=ended.errors)


def _problem(ended: Ended) -> str:
    said = f"exit code {ended.code}" if ended.code > 0 else f"ended by {_signal_name(-ended.code)}"
    asked = f", after the run was asked to stop ({ended.stopped_for})" if ended.stopped_for else ""
    return f"{said}{asked}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
