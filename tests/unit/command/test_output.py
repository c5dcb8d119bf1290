"""Whole lines reach the log, none is longer than may be, and a terminal obeys none."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from kit.command_runs import JobLog, run_command

from tickglass.command.output import LINE_MAX, TAIL_MAX, OutputLines

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def log() -> Iterator[JobLog]:
    log, logger = JobLog(), logging.getLogger("tickglass.jobs")
    logger.addHandler(log)
    logger.setLevel(logging.INFO)
    yield log
    logger.removeHandler(log)
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def output() -> OutputLines:
    return OutputLines("stdout", {"run_id": "a1", "job": "backup"})


def test_a_line_that_comes_in_pieces_is_one_line(log: JobLog, output: OutputLines) -> None:
    for piece in (b"caf\xc3", b"\xa9 ", b"au lait\nand", b"", b" tea\n\n"):
        output.take(piece)
    output.end()
    assert log.lines() == ["caf\u00e9 au lait", "and tea", ""]


def test_a_last_line_without_a_break_is_told_at_the_end(log: JobLog, output: OutputLines) -> None:
    output.take(b"one\ntwo")
    assert log.lines() == ["one"]
    output.end()
    output.end()
    assert log.lines() == ["one", "two"]


def test_a_line_has_the_ids_of_the_run(log: JobLog, output: OutputLines) -> None:
    output.take(b"hello\n")
    (record,) = log.records
    assert (record.levelname, record.name) == ("INFO", "tickglass.jobs")
    assert {name: vars(record)[name] for name in ("run_id", "job", "stream")} == {
        "run_id": "a1",
        "job": "backup",
        "stream": "stdout",
    }


def test_a_line_is_cut_and_says_by_how_much(log: JobLog, output: OutputLines) -> None:
    output.take(b"x" * (LINE_MAX - 1))
    output.take(b"yz" * 10 + b"\nnext\n")
    first, second = log.lines()
    assert first == "x" * (LINE_MAX - 1) + "y ... and 19 bytes more"
    assert second == "next"


def test_a_line_without_end_takes_no_memory(output: OutputLines) -> None:
    for _ in range(1_000):
        output.take(b"x" * 65_536)
    assert len(output.tail) == TAIL_MAX
    assert len(vars(output)["_line"]) == LINE_MAX


def test_the_end_is_kept_in_characters(output: OutputLines) -> None:
    output.take("\U0001f512".encode() * 3_000 + b"!\n")
    assert output.tail == "\U0001f512" * (TAIL_MAX - 1) + "!"


def test_nothing_is_obeyed_and_no_line_is_forged(log: JobLog, output: OutputLines) -> None:
    output.take(b"\x1b[31mred\rover\x00\xff\r\na\tb\n")
    assert log.lines() == ["\u241b[31mred\u240dover\u2400\ufffd", "a       b"]
    assert "\x1b" not in output.tail


@pytest.mark.usefixtures("own_runtime")
def test_lines_of_a_run_can_be_found_by_its_id() -> None:
    ended, log = run_command("echo one")
    (record,) = log.records
    assert (vars(record)["run_id"], vars(record)["fence"]) == (ended.run_id, ended.fence)
