"""What the stage asks to be timed, when it does not, and what becomes of the answers."""

from pathlib import Path
from typing import Any

import pytest
from fake_cells import FakeSuite, run

from lwft_bench.execution import timing as stage_module
from lwft_bench.execution.local import LocalExecutor
from lwft_bench.execution.options import RunOptions
from lwft_bench.execution.timing import TimingStage
from lwft_bench.execution.worker import PlacedTiming
from lwft_bench.results.store import RunStore
from lwft_bench.results.timing import TIMING, read_timing
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.run import Identity
from lwft_bench.schema.timing import TimedCell, TimedSet, TimingConfig, TimingRow
from lwft_bench.timing.job import TimingJob

FFT, LISA = (
    FakeSuite(("fft", "lisa")).cells[number].model_copy(update={"ablation": {}})
    for number in (0, 1)
)


class Timers:
    """In place of the processes that time: keeps the jobs, and answers as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.jobs: list[TimingJob] = []
        self.answer: Any = None
        self.said: list[str] = []
        self.go_on = True
        timers = self

        class Server:
            def __init__(self, preload: Any) -> None: ...

            def told(self, target: Any, job: PlacedTiming, *limits: Any) -> Any:
                timers.jobs.append(job.timing)
                return timers.answer or timed(job.timing)

        monkeypatch.setattr(stage_module, "Server", Server)

    def stage(self, out: Path, **config: int) -> TimingStage:
        return TimingStage(
            RunStore(out),
            TimingConfig(**config),
            lambda: LocalExecutor(None, 2, 1),
            RunOptions(),
            lambda: self.go_on,
            self.said.append,
        )


def timed(job: TimingJob) -> tuple[TimedSet, list[TimingRow]]:
    cells = [
        TimedCell(
            cell=cell.id, method=cell.method.name, digest=job.digests[cell.id], selections="one"
        )
        for cell in job.cells
    ]
    first = job.cells[0]
    rows = [
        TimingRow(
            cell=cell.id,
            pair=0,
            turn=0,
            step=0,
            lowest=0,
            num_units=1,
            seconds=1.0,
            processor_seconds=1.0,
            tokens=1,
            target_tokens=1,
            padded_tokens=1,
        )
        for cell in job.cells
    ]
    timed_set = TimedSet(
        model=first.model.name, task=first.task.name, cells=tuple(cells), device="x", threads=1
    )
    return timed_set, rows


def identities(*cells: Cell, strategy: str = "s1") -> dict[str, Identity]:
    return {cell.id: Identity({"strategy": strategy, "evaluation": "e1"}) for cell in cells}


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> Timers:
    return Timers(monkeypatch)


def test_one_cell_a_method_is_timed_and_each_model_and_task_apart(
    timers: Timers, tmp_path: Path
) -> None:
    other_seed = FFT.model_copy(update={"id": "tiny--fft--task--seed1", "seed": 1})
    base = LISA.model_copy(
        update={"id": "base", "method": LISA.method.model_copy(update={"trains": False})}
    )
    big = FFT.model_copy(
        update={"id": "big", "model": FFT.model.model_copy(update={"name": "big"})}
    )
    cells = [other_seed, FFT, LISA, base, big]
    timers.stage(tmp_path).run(cells, identities(*cells), again=False)
    assert [[cell.id for cell in job.cells] for job in timers.jobs] == [
        [FFT.id, LISA.id],
        ["big"],
    ]
    header, rows = read_timing(tmp_path)
    assert header is not None
    assert [one.model for one in header.sets] == ["tiny", "big"]
    assert [row.cell for row in rows] == [FFT.id, LISA.id, "big"]


def test_what_was_timed_is_timed_again_only_when_it_changed_or_is_asked_for(
    timers: Timers, tmp_path: Path
) -> None:
    cells = [FFT, LISA]
    stage = timers.stage(tmp_path)
    stage.run(cells, identities(*cells), again=False)
    stage.run(cells, identities(*cells), again=False)
    stage.run([FFT], identities(FFT), again=False)  # a narrowed run keeps what is there
    scored_anew = {cell.id: Identity({"strategy": "s1", "evaluation": "e2"}) for cell in cells}
    stage.run(cells, scored_anew, again=False)
    assert len(timers.jobs) == 1
    stage.run(cells, identities(*cells, strategy="s2"), again=False)
    assert len(timers.jobs) == 2
    stage.run(cells, identities(*cells, strategy="s2"), again=True)
    assert len(timers.jobs) == 3
    timers.stage(tmp_path, pairs=3).run(cells, identities(*cells, strategy="s2"), again=False)
    assert len(timers.jobs) == 4


def test_what_goes_wrong_costs_the_figures_and_is_said(timers: Timers, tmp_path: Path) -> None:
    timers.answer = "the methods' models do not fit beside each other"
    timers.stage(tmp_path).run([FFT, LISA], identities(FFT, LISA), again=False)
    assert timers.said[-1].startswith("warning: tiny on task was not timed: the methods' models")
    header, rows = read_timing(tmp_path)
    assert header is not None and header.sets[0].problem == timers.answer
    assert rows == []


def test_a_damaged_file_is_made_anew(timers: Timers, tmp_path: Path) -> None:
    (tmp_path / TIMING).write_text("{torn")
    timers.stage(tmp_path).run([FFT], identities(FFT), again=False)
    assert read_timing(tmp_path)[0] is not None


def test_once_a_stop_is_asked_for_nothing_is_noted(timers: Timers, tmp_path: Path) -> None:
    timers.go_on = False
    timers.stage(tmp_path).run([FFT], identities(FFT), again=True)
    assert timers.jobs == [] and not (tmp_path / TIMING).exists()


class TimingSuite(FakeSuite):
    timing = TimingConfig()


def test_a_run_times_its_methods_once_every_cell_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed_cells: list[list[str]] = []
    monkeypatch.setattr(
        TimingStage,
        "run",
        lambda self, cells, identities, again: timed_cells.append([c.id for c in cells]),
    )
    assert run(TimingSuite(("ok", "exit")), tmp_path / "a", timing=True) == 1
    assert timed_cells == [["tiny--ok--task--seed0"]]
    assert run(TimingSuite(("terminated", "ok")), tmp_path / "b", workers=1, timing=True) == 130
    assert run(TimingSuite(("ok",)), tmp_path / "c", timing=False) == 0
    assert len(timed_cells) == 1
