import io
import re

import pytest
from rich.console import Console

from lwft_bench.execution.progress import LiveProgress, PlainProgress, progress_on
from lwft_bench.execution.tracking import RunTracker
from lwft_bench.schema.events import PhaseBegan, StepsDone
from lwft_bench.schema.result import CellResult, Failure

CELL = "embedded--grass-no-offload--arith--seed0"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def console(terminal: bool) -> Console:
    return Console(
        file=io.StringIO(), width=80, force_terminal=terminal, _environ={"TERM": "xterm"}
    )


def printed(view: PlainProgress) -> str:
    assert isinstance(view.console.file, io.StringIO)
    return view.console.file.getvalue()


def step(number: int, steps: int = 100) -> StepsDone:
    return StepsDone(number, steps, 2.34567, 12345.6, 150 * 2**20)


def result(cell: str = CELL, failure: Failure | None = None) -> CellResult:
    return CellResult(
        status="done" if failure is None else "failed",
        cell=cell,
        model="m",
        method="x",
        task="t",
        seed=0,
        identity="",
        identity_components={},
        average=0.3141,
        failure=failure,
    )


def test_the_view_fits_where_the_output_goes(clock: Clock) -> None:
    tracker = RunTracker(1, clock)
    assert type(progress_on(console(terminal=False), tracker)) is PlainProgress
    assert type(progress_on(console(terminal=True), tracker)) is LiveProgress


def test_plain_lines_tell_steps_now_and_then(clock: Clock) -> None:
    view = PlainProgress(console(terminal=False), RunTracker(2, clock))
    view.started(CELL, resumed=False)
    view.event(CELL, PhaseBegan("train"))
    for number in range(1, 41):
        clock.now += 0.5
        view.event(CELL, step(number))
    view.finished(CELL, result())
    assert printed(view).splitlines() == [
        f"{CELL}: started",
        f"{CELL}: step 20/100, loss 2.346, 12,346 tokens/s, 150 MiB, 0:40 left",
        f"{CELL}: step 40/100, loss 2.346, 12,346 tokens/s, 150 MiB, 0:30 left",
        f"[1/2] {CELL}: done, accuracy 31.4 % (0:20)",
    ]


def test_errors_and_ids_are_printed_as_they_are(clock: Clock) -> None:
    view = PlainProgress(console(terminal=True), RunTracker(1, clock))
    view.started("a--[bold]b[/nothing]", resumed=True)
    failure = Failure(phase="evaluate", error="[red]\x1b[2Jtwo\nlines :smile:")
    view.finished("a--[bold]b[/nothing]", result(failure=failure))
    assert printed(view).splitlines() == [
        "a--[bold]b[/nothing]: goes on from its checkpoint",
        "[1/1] a--[bold]b[/nothing]: failed in phase evaluate: [red][2Jtwo lines :smile: (0:00)",
    ]


def test_the_live_view_has_a_row_for_each_running_cell_in_80_columns(clock: Clock) -> None:
    view = LiveProgress(console(terminal=True), RunTracker(22, clock))
    long = f"[bold]--{'long' * 30}"
    with view:
        for cell in (CELL, long):
            view.started(cell, resumed=False)
            view.event(cell, PhaseBegan("train"))
            view.event(cell, step(10))
        clock.now += 60
        view.event(CELL, step(40))
        view.event(long, PhaseBegan("evaluate"))
        view.tick()
    lines = [re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", line) for line in printed(view).splitlines()]
    rows = {line.split(" ")[0]: line for line in lines}
    assert rows[CELL].split() == [CELL, "40/100", "2.346", "12,346", "150", "MiB", "2:00"]
    assert next(row for row in rows if row.startswith("[bold]--long")).endswith("…")
    assert "0 of 22 cells, 2 running, 0 failed, 1:00" in lines
    assert max(map(len, lines)) <= 80


def test_the_live_view_is_not_redrawn_more_often_than_people_see(clock: Clock) -> None:
    view = LiveProgress(console(terminal=True), RunTracker(1, clock))
    with view:
        view.tick()
        before = printed(view)
        clock.now += 0.1
        view.tick()
        assert printed(view) == before
        clock.now += 0.2
        view.tick()
        assert printed(view) != before


def test_time_left_counts_what_runs_and_starts_where_a_cell_was_resumed(clock: Clock) -> None:
    tracker = RunTracker(4, clock)
    assert tracker.seconds_left() is None
    tracker.start("a")
    tracker.start("b")
    clock.now += 100
    assert tracker.finish("a", done=True) == 100
    assert tracker.seconds_left() == pytest.approx(300)
    cell = tracker.take("b", step(60))
    assert cell.seconds_left(clock.now) is None
    assert tracker.seconds_left() == pytest.approx(100 * 2.4 / 1.6)
    clock.now += 10
    tracker.take("b", step(80))
    assert cell.seconds_left(clock.now) == pytest.approx(10)
