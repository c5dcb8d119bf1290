"""Run a command as a job. Reference: docs/runs.md."""

from tickglass.command.job import CommandFailed, command_job

__all__ = ["CommandFailed", "command_job"]
