"""Decide which errors of foreign code, a trigger's, a sink's or a callback's, end at our edge and which pass."""

from __future__ import annotations

import threading

__all__ = ["is_program_exit"]


def is_program_exit(error: BaseException) -> bool:
    """Return whether an error is meant for the whole program, whatever code it happened to come up in.

    A Ctrl-C, or the sys.exit of a signal handler: Python raises both in the main
    thread, wherever that is. None of our loops turns there, so they may pass. Anywhere
    else, foreign code raised it and would end a loop of ours.
    """
    return isinstance(error, (KeyboardInterrupt, SystemExit)) and threading.current_thread() is threading.main_thread()
