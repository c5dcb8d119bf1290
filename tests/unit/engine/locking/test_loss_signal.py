"""The loss of a lease reaches each subscriber once, whatever the others do."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tickglass.sched.engine.locking.loss_signal import LossSignal

if TYPE_CHECKING:
    import pytest

PATIENCE_S = 10.0


def test_a_loss_is_told_on_another_thread_and_once() -> None:
    signal, told, threads = LossSignal("r"), threading.Event(), list[int]()
    signal.subscribe(lambda: threads.append(threading.get_ident()))
    signal.subscribe(told.set)
    assert threads == []
    signal.report()
    signal.report()
    assert told.wait(PATIENCE_S)
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


def test_after_the_loss_a_subscriber_is_called_at_once_on_its_own_thread() -> None:
    signal, threads = LossSignal("r"), list[int]()
    signal.report()
    signal.subscribe(lambda: threads.append(threading.get_ident()))
    assert threads == [threading.get_ident()]


def test_a_subscriber_that_raises_is_logged_and_the_next_is_called(caplog: pytest.LogCaptureFixture) -> None:
    def boom() -> None:
        raise SystemExit  # which on this thread ends nothing

    signal, told = LossSignal("lamp"), threading.Event()
    signal.subscribe(boom)
    signal.subscribe(told.set)
    signal.report()
    assert told.wait(PATIENCE_S)
    assert "a callback for the loss of lamp raised" in caplog.text
