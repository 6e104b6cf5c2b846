"""What makes reports of many cells fast changes nothing in them."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from lwft_bench.reporting.html import samples as html_samples
from lwft_bench.reporting.html.samples import samples
from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.rows import differences
from lwft_bench.reporting.read import cells
from lwft_bench.reporting.read import in_processes as module
from lwft_bench.reporting.read.by_cell import ByCell
from lwft_bench.reporting.read.in_processes import in_processes
from lwft_bench.reporting.read.records import read_run
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.regular_files import Unreadable

if TYPE_CHECKING:
    from conftest import RunMaker

EXAMPLE = Path(__file__).parents[2] / "reports/examples/arith"


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes, also where the tests have loaded torch: what is forked here uses none of it."""
    monkeypatch.setattr(module, "_safe_to_fork", lambda: True)
    monkeypatch.setattr(module, "_processors", lambda: 2)
    monkeypatch.setattr(module, "ENOUGH", 2)


@pytest.mark.usefixtures("forked")
def test_processes_give_what_one_process_gives() -> None:
    found = list(in_processes(lambda item: (item * item, os.getpid()), [3, 1, 4, 1, 5]))
    assert [square for square, _ in found] == [9, 1, 16, 1, 25]
    assert os.getpid() not in {pid for _, pid in found}


@pytest.mark.usefixtures("forked")
def test_an_error_in_a_process_is_the_same_message() -> None:
    def work(item: int) -> int:
        if item == 2:
            raise Unreadable(Path("rows.jsonl"), "not UTF-8 text", 3)
        return item

    with pytest.raises(UserError) as told:
        list(in_processes(work, [0, 1, 2, 3]))
    assert told.value.message == "rows.jsonl:3: cannot be read: not UTF-8 text"


@pytest.mark.usefixtures("forked")
def test_a_mistake_in_a_process_is_shown_with_its_place() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)in <lambda>.*ZeroDivisionError"):
        list(in_processes(lambda item: 1 // item, [1, 2, 0, 3]))


@pytest.mark.usefixtures("forked")
def test_a_process_that_is_ended_is_told() -> None:
    with pytest.raises(UserError, match="was ended from outside"):
        list(in_processes(lambda item: os.kill(os.getpid(), signal.SIGKILL), [1, 2, 3, 4]))


def test_an_interruption_ends_all_at_once_and_without_a_word_of_theirs() -> None:
    code = (
        "import os, time\n"
        "from lwft_bench.reporting.read import in_processes as module\n"
        "module._processors = lambda: 2\n"
        "def work(item):\n"
        "    os.write(1, b'%d\\n' % os.getpid())\n"
        "    time.sleep(60)\n"
        "try:\n"
        "    list(module.in_processes(work, range(8)))\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    workers = [int(process.stdout.readline()) for _ in range(2)]
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, errors = process.communicate(timeout=40)
    assert (out, errors, process.returncode) == ("interrupted\n", "", 0)
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


@pytest.fixture
def several(maker: RunMaker) -> Path:
    """Two methods and an untrained model; a damaged cell, a planned one, and one of no suite."""
    for seed in range(3):
        maker.add(maker.method("fft", 0.5), seed)
        maker.add(maker.method("grass", 0.6, num_active=2, probabilities=True), seed)
    maker.add(maker.method("base", 0.1, trains=False), 0)
    (maker.add(maker.method("fft", 0.5), 3) / "samples.jsonl").write_text('{"benchmark": 1}\n')
    maker.plan(maker.cell(maker.method("fft", 0.5), 4))
    maker.add(maker.method("fft", 0.5), 5)
    maker.planned.pop()
    return maker.finish()


def test_a_run_read_in_processes_is_the_run(
    several: Path, forked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = read_run(several)
    monkeypatch.setattr(cells, "_TOGETHER", 2)
    spread = read_run(several)
    for name in ("results", "samples", "steps", "selections", "units"):
        pd.testing.assert_frame_equal(getattr(spread, name), getattr(here, name))
    assert spread.cells == here.cells
    assert spread.warnings == here.warnings
    assert any("samples.jsonl:1: not a SampleRow: benchmark: " in one for one in here.warnings)
    assert spread.wordings.keys() == here.wordings.keys()
    for cell, words in here.wordings.items():
        np.testing.assert_array_equal(spread.wordings[cell], words)


def test_comparisons_made_in_processes_are_those_made_here(
    maker: RunMaker, forked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in ("tiny", "small"):
        for seed in range(2):
            maker.add(maker.method("fft", 0.5), seed, model=model)
            maker.add(
                maker.method("grass", 0.6, num_active=2, probabilities=True), seed, model=model
            )
        maker.add(maker.method("base", 0.1, trains=False), 0, model=model)
    records = read_run(maker.finish())
    spread = compare(records)
    monkeypatch.setattr(module, "_processors", lambda: 1)
    for one, here in zip(spread, compare(records), strict=True):
        assert (one.model, one.task, one.suffix) == (here.model, here.task, here.suffix)
        assert one.benchmarks == here.benchmarks
        assert one.warnings == here.warnings
        assert one.baseline is one.rows[0]
        assert one.untrained is one.rows[2]
        for row, own in zip(one.rows, here.rows, strict=True):
            assert row.cells == own.cells
            assert all(any(cell is known for known in records.cells) for cell in row.cells)
            assert (row.label, row.accuracy) == (own.label, own.accuracy)
            assert row.differences == own.differences
            assert row.over_untrained == own.over_untrained
            for name, table in own.correct.items():
                pd.testing.assert_frame_equal(row.correct[name], table)


def test_garbage_is_sought_as_before_once_a_report_is_made() -> None:
    before = gc.isenabled(), gc.get_threshold()
    with module.no_garbage_sought():
        assert not gc.isenabled()
        with module.nothing_looked_through():
            assert gc.isenabled()
            assert gc.get_threshold()[0] > before[1][0]
        assert not gc.isenabled()
    assert (gc.isenabled(), gc.get_threshold()) == before


def test_samples_of_a_page_are_the_same_however_many_are_looked_at_first(
    several: Path, forked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context.of(read_run(several))
    about = [context.about(one) for one in context.comparisons] * 2
    whole = samples(about)
    monkeypatch.setattr(html_samples, "MOST_BYTES", 2_000)
    cut = samples(about)
    assert 0 < len(cut[0]["benchmarks"][0]["items"]) < len(whole[0]["benchmarks"][0]["items"])
    for short in (1, 10**9):
        monkeypatch.setattr(html_samples, "_SHORT", short)
        assert samples(about) == cut


def test_few_pieces_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_safe_to_fork", lambda: True)
    assert set(in_processes(lambda _: os.getpid(), [1, 2])) == {os.getpid()}


def test_rows_by_cell_are_those_of_a_mask() -> None:
    frame = pd.DataFrame({"cell": ["b", "a", "b", "c"], "step": [1, 2, 3, 4]})
    by_cell = ByCell(frame)
    for cell in ("a", "b", "c", "none"):
        pd.testing.assert_frame_equal(by_cell.of_all([cell]), frame[frame["cell"] == cell])
    pd.testing.assert_frame_equal(by_cell.of_all(["c", "b"]), frame[frame["cell"].isin(["b", "c"])])
    assert ByCell(frame.iloc[:0]).of_all(["a"]).empty


def test_frames_and_tables_are_those_of_rows_read_one_by_one() -> None:
    records = read_run(EXAMPLE)
    cell = next(cell.id for cell in records.cells if cell.method == "grass")
    own = records.samples[records.samples["cell"] == cell]
    context = Context.of(records)
    row = next(row for row in context.comparisons[0].rows if row.method == "grass")
    seed = next(one.seed for one in row.cells if one.id == cell)
    for name, group in own.groupby("benchmark"):
        expected = group.set_index("id")["correct"].astype(float).sort_index()
        pd.testing.assert_series_equal(
            row.correct[str(name)].loc[seed], expected, check_names=False
        )
        numbers = row.labels(str(name), row.correct[str(name)].columns)
        clusters = group.set_index("id")["cluster"].loc[row.correct[str(name)].columns]
        assert numbers is not None
        assert numbers.tolist() == pd.factorize(clusters)[0].tolist()
    other = next(row for row in context.comparisons[0].rows if row.method == "lisa")
    assert differences(row, other) is differences(row, other)
