"""What is read of the kernel's answer, and that this machine's kernel is asked for it."""

from __future__ import annotations

import ctypes
import os
import sys

import pytest

from tickglass.sched import clock as clock_module
from tickglass.sched.clock import TIMEX_BYTES, ClockDiscipline, SystemClock, discipline_of
from tickglass.sched.durations import MS, SECOND

LONG = ctypes.c_int64
UNSYNCHRONISED, NANOSECONDS = 0x40, 0x2000


class Timex(ctypes.Structure):
    """struct timex as include/uapi/linux/timex.h writes it, where `long` has eight bytes."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, LONG) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        *((name, LONG) for name in ("constant", "precision", "tolerance", "tv_sec", "tv_usec", "tick")),
        *((name, LONG) for name in ("ppsfreq", "jitter")),
        ("shift", ctypes.c_int),
        *((name, LONG) for name in ("stabil", "jitcnt", "calcnt", "errcnt", "stbcnt")),
        ("tai", ctypes.c_int),
        ("padding", ctypes.c_int * 11),
    )


def answer(**fields: int) -> bytes:
    usual = {"freq": 32_768, "maxerror": 21_500, "esterror": 7, "status": NANOSECONDS, "tick": 10_000}
    return bytes(Timex(**{**usual, **fields}))


def test_every_field_is_read_from_its_place_and_in_its_unit() -> None:
    assert len(answer()) == TIMEX_BYTES
    assert discipline_of(0, answer(offset=-1_234, modes=9, constant=7, tv_sec=1, tv_usec=2)) == ClockDiscipline(
        synchronised=True,
        offset_ns=-1_234,
        frequency_ratio=0.5e-6,
        max_error_ns=21_500_000,
        estimated_error_ns=7_000,
    )


def test_an_offset_without_the_bit_for_nanoseconds_is_in_microseconds() -> None:
    found = discipline_of(0, answer(offset=-1_234, status=0))
    assert found is not None
    assert found.offset_ns == -1_234_000


@pytest.mark.parametrize(("state", "synchronised"), [(0, True), (1, True), (4, True), (5, False)])
def test_only_the_error_state_means_that_nothing_keeps_the_clock(state: int, *, synchronised: bool) -> None:
    found = discipline_of(state, answer(status=NANOSECONDS | UNSYNCHRONISED))
    assert found is not None
    assert found.synchronised is synchronised


def test_a_rate_that_is_corrected_by_the_tick_counts_too() -> None:
    found = discipline_of(0, answer(tick=10_001, freq=-65_536))
    assert found is not None
    assert found.frequency_ratio == pytest.approx(99e-6)


def test_an_offset_that_the_kernel_cannot_have_is_left_out() -> None:
    overflown, largest = discipline_of(0, answer(offset=1 << 32)), discipline_of(0, answer(offset=-500 * MS))
    assert overflown is not None
    assert overflown.offset_ns is None
    assert largest is not None
    assert largest.offset_ns == -500 * MS


def test_a_call_that_failed_says_nothing() -> None:
    assert discipline_of(-1, bytes(TIMEX_BYTES)) is None


@pytest.mark.skipif(sys.platform != "linux", reason="Linux answers")
def test_this_machines_kernel_says_the_same_as_its_c_library_does() -> None:
    assert os.uname().machine in ("x86_64", "aarch64"), "the layout of this machine is not known"
    timex = Timex()
    state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    found = SystemClock().discipline()
    if state < 0:  # a sandbox that refuses the call
        assert found is None
        return
    assert found is not None
    assert found.synchronised is (state != 5)
    assert abs(found.max_error_ns - timex.maxerror * 1_000) < 60 * SECOND


@pytest.mark.parametrize(("platform", "machine"), [("darwin", "arm64"), ("linux", "sparc64"), ("linux", "i686")])
def test_a_machine_of_another_kind_says_nothing(monkeypatch: pytest.MonkeyPatch, platform: str, machine: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("", "", "", "", machine)))
    clock_module._kernel_clock.cache_clear()
    try:
        assert SystemClock().discipline() is None
    finally:
        clock_module._kernel_clock.cache_clear()


def test_a_c_library_without_the_call_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "PyDLL", lambda _: object())
    clock_module._kernel_clock.cache_clear()
    try:
        assert SystemClock().discipline() is None
    finally:
        clock_module._kernel_clock.cache_clear()
