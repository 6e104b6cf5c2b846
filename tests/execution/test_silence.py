"""Silence is what is neither told nor done, by a process that could do it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lwft_bench.execution.silence import LONGEST_GAP, Silence


class Process:
    """A made-up process: its state, and the seconds of processor time it has used."""

    def __init__(self, proc: Path) -> None:
        self.folder = proc / "7"
        self.folder.mkdir()
        self.now = 100.0
        self.be("S", 0.0)

    def be(self, state: str, busy: float) -> None:
        zeros = " 0" * 10
        text = f"7 (a) b) {state}{zeros} {int(busy * 100)} 0 0"
        (self.folder / "stat").write_text(text)

    def watched(self, silence: Silence, seconds: float, *, works: bool = False) -> float:
        for _ in range(int(seconds)):
            self.now += 1.0
            found = silence.watch(works_in_silence=works)
        return found


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path)


@pytest.fixture
def silence(process: Process) -> Silence:
    return Silence(7, clock=lambda: process.now, proc=process.folder.parent)


def test_seconds_without_a_sign_add_up_and_a_sign_ends_them(
    process: Process, silence: Silence
) -> None:
    assert process.watched(silence, 10) == 10.0
    silence.broken()
    assert process.watched(silence, 3) == 3.0


def test_a_stopped_process_is_not_silent(process: Process, silence: Silence) -> None:
    process.watched(silence, 4)
    process.be("T", 0.0)
    assert process.watched(silence, 50) == 4.0
    process.be("S", 0.0)
    assert process.watched(silence, 2) == 6.0


def test_nor_is_one_whose_parent_was_stopped(process: Process, silence: Silence) -> None:
    process.now += 10_000.0
    assert silence.watch(works_in_silence=False) == LONGEST_GAP


@pytest.mark.parametrize(("works", "expected"), [(True, 0.0), (False, 1.0)])
def test_work_is_a_sign_of_life_where_nothing_can_be_told(
    process: Process, silence: Silence, works: bool, expected: float
) -> None:
    process.be("R", 0.5)
    assert process.watched(silence, 1, works=works) == expected


def test_where_there_is_no_proc_only_events_count(tmp_path: Path) -> None:
    now = [0.0]
    silence = Silence(9, clock=lambda: now[0], proc=tmp_path)
    now[0] = 1.5
    assert silence.watch(works_in_silence=True) == 1.5
