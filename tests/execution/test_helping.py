"""Several runners in one directory."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from fake_cells import FakeSuite, results, run, undisturbed_weights
from processes import until
from test_interruption import finish, start

from lwft_bench.cell.outcomes import new_result
from lwft_bench.execution.queue import CellQueue
from lwft_bench.results.claims import Claims
from lwft_bench.results.store import RunStore, write_result
from lwft_bench.schema.errors import UserError


def ends(out: Path) -> Counter[str]:
    """How often each cell came to its end."""
    return Counter((out / "ends").read_text().split())


def checkpoints(out: Path) -> list[Path]:
    return list((out / "work").glob("*/checkpoint-*"))


def cell_ids(*fates: str) -> set[str]:
    return {f"tiny--{fate}--task--seed0" for fate in fates}


def test_a_second_run_helps_and_says_so(tmp_path: Path) -> None:
    fates = tuple(f"ok{number}" for number in range(6))
    first = start(tmp_path, *fates, step_seconds=0.5)
    until(lambda: (tmp_path / "suite.json").exists())
    code, printed = finish(start(tmp_path, *fates, step_seconds=0.5))
    assert code == 0
    assert f"process {first.pid} on {os.uname().nodename} runs this suite already" in printed
    assert "this run helps" in printed
    first_code, first_printed = finish(first)
    assert first_code == 0
    assert set(ends(tmp_path).values()) == {1}
    assert len(results(tmp_path)) == 6
    for text in (printed, first_printed):
        assert "(by another runner)" in text
        assert "[6/6]" in text
    assert not (tmp_path / "claims").exists()


def test_one_that_is_stopped_leaves_its_cells_to_the_other(tmp_path: Path) -> None:
    fates = ("ok1", "ok2", "ok3", "ok4")
    first = start(tmp_path, *fates, step_seconds=1.5)
    second = start(tmp_path, *fates, step_seconds=1.0)
    until(lambda: {path.parent.name for path in checkpoints(tmp_path)} == cell_ids(*fates))
    first.send_signal(signal.SIGINT)
    assert finish(first)[0] == 130
    code, printed = finish(second)
    assert code == 0
    assert printed.count("goes on from its checkpoint") == 2
    assert [one.weights_digest for one in results(tmp_path).values()] == [undisturbed_weights()] * 4


def test_a_dead_runners_cell_is_taken_over(tmp_path: Path) -> None:
    first = start(tmp_path, "ok1", "ok2", step_seconds=2.0)
    until(lambda: {path.parent.name for path in checkpoints(tmp_path)} == cell_ids("ok1", "ok2"))
    second = start(tmp_path, "ok1", "ok2", step_seconds=0.0)
    assert second.stdout is not None
    for line in second.stdout:
        if "what is left runs elsewhere" in line:
            assert f"process {first.pid} on {os.uname().nodename} has 2" in line
            break
    first.kill()
    first.communicate()
    code, printed = finish(second)
    assert code == 0
    assert printed.count("goes on from its checkpoint") == 2
    assert set(ends(tmp_path).values()) == {1}


def test_another_suite_is_refused_with_the_command_that_works(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(FakeSuite(("ok",)), out)
    with pytest.raises(UserError, match="holds a run of suite `fake`, not `other`") as raised:
        run(FakeSuite(("ok",), name="other"), out)
    assert raised.value.hint is not None
    assert raised.value.hint.endswith(f"--out {tmp_path / 'other'}")


def test_other_settings_are_refused_while_somebody_runs(tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out, "ok", step_seconds=0.3)
    until(lambda: (out / "suite.json").exists())
    for suite in (FakeSuite(("ok",), strategy_digest="s2"), FakeSuite(("ok", "more"))):
        with pytest.raises(UserError, match="runs this suite with other cells or settings") as told:
            run(suite, out)
        assert f"process {process.pid} on" in str(told.value)
        assert str(tmp_path / "fake") in str(told.value)
    assert finish(process)[0] == 0
    assert set(results(out)) == {"ok"}


def test_failed_cells_are_tried_again_by_one_of_two(tmp_path: Path) -> None:
    fates = ("raises", "exit")
    run(FakeSuite(fates), tmp_path, workers=1)
    store = RunStore(tmp_path)
    claims = [Claims(tmp_path), Claims(tmp_path)]
    suite = FakeSuite(fates)
    left = [(cell, suite.identity(cell)) for cell in suite.cells]
    one, other = (CellQueue(store, each, left) for each in claims)
    taken = one.take(lambda cell: True)
    assert taken is not None
    store.archive(taken.cell.id)
    run_again = store.begin(taken.cell, suite.identity(taken.cell), threads=1)
    write_result(store.work_folder(taken.cell.id), new_result(taken.cell, run_again, "failed"))
    store.publish(taken.cell.id)
    one.drop(taken.cell.id)
    second = other.take(lambda cell: True)
    assert second is not None
    assert second.cell.id != taken.cell.id
    assert [result.cell for result in other.ended_elsewhere()] == [taken.cell.id]


def test_a_cell_done_while_a_runner_was_looking_is_not_done_again(tmp_path: Path) -> None:
    """Its state was seen before, and the time of its result after it was written."""
    suite = FakeSuite(("ok",))
    run(suite, tmp_path, workers=1)
    queue = CellQueue(
        RunStore(tmp_path), Claims(tmp_path), [(suite.cells[0], suite.identity(suite.cells[0]))]
    )
    assert queue.take(lambda cell: True) is None
    assert [result.status for result in queue.ended_elsewhere()] == ["done"]


REPETITIONS = 20


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("runners", [2, 4])
def test_every_cell_exactly_once(tmp_path: Path, runners: int) -> None:
    """In half of the repetitions one of the runners is killed while it runs cells."""
    draw = random.Random(runners)
    fates = [f"ok{number}" for number in range(12)]
    for repetition in range(REPETITIONS):
        out = tmp_path / str(repetition)
        running = [start(out, *fates, step_seconds=0.05) for _ in range(runners)]
        if kills := repetition % 2:
            until(lambda out=out: len(list((out / "work").glob("*/starts"))) >= 2)
            time.sleep(draw.uniform(0.0, 2.0))
            killed = running.pop(draw.randrange(runners))
            killed.kill()
            killed.communicate()
        printed = [_finished(one) for one in running]
        assert ends(out) == Counter({f"tiny--{fate}--task--seed0": 1 for fate in fates}), printed
        found = results(out)
        assert {one.weights_digest for one in found.values()} == {undisturbed_weights()}, printed
        starts = [
            len((RunStore(out).cell_folder(one.cell) / "starts").read_text().split())
            for one in found.values()
        ]
        assert sum(starts) <= len(fates) + 2 * kills
        assert not list((out / "work").iterdir())


def _finished(process: subprocess.Popen[str]) -> str:
    code, printed = finish(process)
    assert code == 0, printed
    assert "Traceback" not in printed
    return printed
