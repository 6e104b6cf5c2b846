"""Cells under torchrun, as the first rank leads them. What ranks do together is in
tests/training/test_ranks.py; whole runs over two processes are in tests/faults."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fake_cells import FakeSuite, results, undisturbed_weights
from rich.console import Console

from lwft_bench.cell.provenance import command_line
from lwft_bench.execution import runner
from lwft_bench.execution.options import RunOptions
from lwft_bench.execution.ranked import RankedCells, logged
from lwft_bench.execution.runner import run_suite
from lwft_bench.execution.stopping import StopRequests
from lwft_bench.execution.worker import LOG
from lwft_bench.results.store import RunStore
from lwft_bench.schema.errors import UserError
from lwft_bench.training.ranks import Ranks, require_shares


class FirstOfTwo(Ranks):
    """The first rank, whose only companion never answers and is never waited for."""

    __slots__ = ()

    def broadcast(self, value: object) -> object:
        self.orders.append(value)
        return value

    def leave(self) -> None:
        self.orders.append("left")

    orders: list[object] = []


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> FirstOfTwo:
    FirstOfTwo.orders = []
    ranks = FirstOfTwo(0, 2)
    monkeypatch.setattr(runner, "launched", lambda: True)
    monkeypatch.setattr(Ranks, "join", lambda: ranks)
    return ranks


def run(out: Path, *fates: str, **options: object) -> int:
    return run_suite(
        FakeSuite(fates),
        out,
        RunOptions(run_cell="fake_cells:run_cell", check="", **options),
        report=lambda path: "",
        console=Console(),
    )


def ordered(ranks: FirstOfTwo) -> list[str]:
    return [getattr(order, "cell_id", str(order)) for order in ranks.orders]


def test_all_cells_run_in_this_process_and_the_others_are_told(
    first: FirstOfTwo, tmp_path: Path
) -> None:
    assert run(tmp_path, "ok", "other") == 0
    assert ordered(first) == ["tiny--ok--task--seed0", "tiny--other--task--seed0", "None", "left"]
    for fate in ("ok", "other"):
        assert results(tmp_path)[fate].weights_digest == undisturbed_weights()
        assert (RunStore(tmp_path).cell_folder(f"tiny--{fate}--task--seed0") / LOG).exists()


def test_output_goes_to_the_log_and_comes_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with logged(tmp_path / LOG):
        os.write(1, b"out ")
        os.write(2, b"err")
    os.write(1, b"seen")
    assert (tmp_path / LOG).read_text() == "out err"
    assert capfd.readouterr() == ("seen", "")


def test_divergence_is_seen_by_all_ranks_and_the_next_cell_runs(
    first: FirstOfTwo, tmp_path: Path
) -> None:
    assert run(tmp_path, "diverged", "ok") == 1
    assert {fate: r.status for fate, r in results(tmp_path).items()} == {
        "diverged": "diverged",
        "ok": "done",
    }
    assert ordered(first)[-2:] == ["None", "left"]


def test_another_error_is_a_row_and_ends_the_job(
    first: FirstOfTwo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "raises", "ok") == 130
    assert results(tmp_path)["raises"].status == "failed"
    assert ordered(first) == ["tiny--raises--task--seed0"]
    assert "1 of 2 cells are left" in capsys.readouterr().out
    assert run(tmp_path, "raises", "ok") == 1
    assert results(tmp_path)["ok"].status == "done"


def test_a_stop_leaves_a_checkpoint_and_the_same_command_goes_on(
    first: FirstOfTwo, tmp_path: Path
) -> None:
    assert run(tmp_path, "terminated-once", "ok") == 130
    assert ordered(first) == ["tiny--terminated-once--task--seed0", "None", "left"]
    assert run(tmp_path, "terminated-once", "ok") == 0
    assert results(tmp_path)["terminated-once"].weights_digest == undisturbed_weights()


def test_every_rank_needs_a_sequence(first: FirstOfTwo, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="batch_size is 16, which 17 ranks cannot share"):
        require_shares(FakeSuite(("ok",)).cells[0], 17)
    with pytest.raises(UserError, match="one at a time"):
        run(tmp_path, "ok", workers=2)


def test_another_rank_runs_what_it_is_told(tmp_path: Path, first: FirstOfTwo) -> None:
    assert run(tmp_path / "first", "ok") == 0
    orders = iter(first.orders)

    class Second(FirstOfTwo):
        __slots__ = ()

        def broadcast(self, value: object) -> object:
            assert value is None
            return next(orders)

        def leave(self) -> None:
            pass

    store = RunStore(tmp_path / "second")
    (cell,) = FakeSuite(("ok",)).cells
    store.work_folder(cell.id).mkdir(parents=True)
    (store.work_folder(cell.id) / "identity.json").write_text(
        (RunStore(tmp_path / "first").cell_folder(cell.id) / "identity.json").read_text()
    )
    cells = RankedCells(
        Second(1, 2), store, "fake_cells:run_cell", lambda cell: False, StopRequests()
    )
    cells.follow()
    assert (store.work_folder(cell.id) / "starts").exists()


def test_the_command_to_go_on_names_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setattr("sys.argv", ["lwft_bench", "run", "smoke"])
    assert command_line() == "torchrun --nproc-per-node 2 -m lwft_bench run smoke"
