"""Decide which errors of foreign code (triggers, sinks, callbacks) are caught and which go on to the program."""

from __future__ import annotations

import threading

__all__ = ["is_program_exit"]


def is_program_exit(error: BaseException) -> bool:
    """Return whether an error is meant for the whole program, in whatever code it was raised.

    A Ctrl-C, or the sys.exit of a signal handler: Python raises both in the main
    thread, whatever code runs there. None of our loops runs there, so they may pass. Anywhere
    else, foreign code raised it and would end a loop of ours.
    """
    return isinstance(error, (KeyboardInterrupt, SystemExit)) and threading.current_thread() is threading.main_thread()
