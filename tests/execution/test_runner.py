import signal
import time
from pathlib import Path

import pytest
from fake_cells import FakeSuite, results, run, undisturbed_weights, write_report

from lwft_bench.execution.scheduler import RESTARTS
from lwft_bench.results.store import RunStore
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.suite import Published


@pytest.fixture(scope="module")
def fates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a suite in which cells end in every way, but for those that take time."""
    out = tmp_path_factory.mktemp("fates")
    kinds = ("ok", "exit", "killed", "segfault", "memory", "diverged", "raises", "killed-once")
    assert run(FakeSuite(kinds), out, workers=2) == 1
    return out


@pytest.mark.parametrize(
    ("fate", "status", "error"),
    [
        ("exit", "crashed", "ended with exit code 7 and without a result"),
        ("killed", "crashed", "killed by signal 9 (out of host memory?)"),
        ("segfault", "crashed", "killed by signal 11 (SIGSEGV)"),
        ("memory", "out_of_memory", "MemoryError: no room"),
        ("diverged", "diverged", "Diverged: the loss is nan at step 4"),
        ("raises", "failed", "KeyError: '[red]no\\nsuch key'"),
    ],
)
def test_a_cell_that_fails_is_a_row_with_status_phase_and_error(
    fates: Path, fate: str, status: str, error: str
) -> None:
    result = results(fates)[fate]
    assert result.status == status
    assert result.failure is not None
    assert (result.failure.phase, result.failure.error) == ("train", error)
    assert (
        "output of the cell" in (RunStore(fates).cell_folder(result.cell) / "cell.log").read_text()
    )


def test_the_suite_goes_on_and_good_cells_are_done(fates: Path) -> None:
    for fate in ("ok", "killed-once"):
        result = results(fates)[fate]
        assert (result.status, result.weights_digest) == ("done", undisturbed_weights())
    assert (fates / "report.md").exists()
    assert list((fates / "work").iterdir()) == []


def test_a_crash_tells_where_it_was(fates: Path) -> None:
    for fate, line in {"segfault": "Segmentation fault", "raises": "in _raise"}.items():
        failure = results(fates)[fate].failure
        assert failure is not None
        assert line in failure.traceback


def test_a_process_killed_from_outside_goes_on_from_its_checkpoint(fates: Path) -> None:
    store = RunStore(fates)
    for fate, starts in {"killed-once": 2, "killed": 1 + RESTARTS, "exit": 1}.items():
        folder = store.cell_folder(results(fates)[fate].cell)
        assert len((folder / "starts").read_text().splitlines()) == starts


def test_checkpoints_go_when_a_cell_is_done_and_stay_when_it_failed(fates: Path) -> None:
    store = RunStore(fates)
    assert not list(store.cell_folder("tiny--ok--task--seed0").glob("*checkpoint*"))
    assert list(store.cell_folder("tiny--exit--task--seed0").glob("checkpoint-*"))


def test_a_silent_cell_is_killed_and_says_where_it_hung(tmp_path: Path) -> None:
    assert run(FakeSuite(("hang", "ok")), tmp_path, workers=1, hang_seconds=0.5) == 1
    result = results(tmp_path)["hang"]
    assert result.status == "hung"
    assert result.failure is not None
    assert result.failure.phase == "train"
    assert "fake_cells.py" in result.failure.traceback
    assert results(tmp_path)["ok"].status == "done"


def test_a_second_run_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = FakeSuite(("ok", "also-ok"))
    assert run(suite, tmp_path) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").rglob("*")}
    capsys.readouterr()
    assert (
        run(suite, tmp_path, run_cell="none:none", report=lambda out: pytest.fail("reported")) == 0
    )
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").rglob("*")} == before
    assert "nothing to do: all 2 cells are done" in capsys.readouterr().out


def test_a_cell_whose_run_died_before_it_appeared_is_not_run_again(tmp_path: Path) -> None:
    suite = FakeSuite(("ok",))
    run(suite, tmp_path)
    (tmp_path / "cells" / "tiny--ok--task--seed0").rename(tmp_path / "work/tiny--ok--task--seed0")
    assert run(suite, tmp_path, run_cell="none:none") == 0
    assert results(tmp_path)["ok"].status == "done"


def test_one_more_cell_runs_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(FakeSuite(("ok",)), tmp_path)
    capsys.readouterr()
    assert run(FakeSuite(("ok", "new")), tmp_path) == 0
    printed = capsys.readouterr().out
    assert "2 cells: 1 new, 1 done" in printed
    assert "tiny--new--task--seed0: started" in printed
    assert "tiny--ok--task--seed0" not in printed


def test_published_numbers_that_are_added_run_nothing(tmp_path: Path) -> None:
    run(FakeSuite(("ok",)), tmp_path)
    numbers = Published(source="a paper", scores={"tiny": {"ok": {"average": 50.0}}})
    suite = FakeSuite(("ok",), published=numbers)
    assert run(suite, tmp_path, run_cell="none:none") == 0
    assert RunStore(tmp_path).read_suite().published == numbers


def test_stale_cells_are_named_archived_and_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(FakeSuite(("ok",)), tmp_path)
    before = results(tmp_path)["ok"].identity
    capsys.readouterr()
    assert run(FakeSuite(("ok",), strategy_digest="s2"), tmp_path) == 0
    printed = capsys.readouterr().out
    assert "stale, since strategy changed (kept in stale/):\n  tiny--ok--task--seed0\n" in printed
    assert results(tmp_path)["ok"].identity != before
    kept = tmp_path / "stale" / f"tiny--ok--task--seed0--{before[:8]}" / "result.json"
    assert before in kept.read_text()


def test_failed_cells_run_again_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = FakeSuite(("exit-once",))
    assert run(suite, tmp_path) == 1
    assert run(suite, tmp_path) == 1
    assert results(tmp_path)["exit-once"].status == "crashed"
    assert "nothing to do: 1 cells: 1 failed" in capsys.readouterr().out
    assert run(suite, tmp_path, retry_failed=True) == 0
    assert results(tmp_path)["exit-once"].weights_digest == undisturbed_weights()
    assert "goes on from its checkpoint" in capsys.readouterr().out


def test_sigterm_to_a_cell_interrupts_only_that_cell(tmp_path: Path) -> None:
    suite = FakeSuite(("terminated-once", "ok"))
    assert run(suite, tmp_path, workers=1) == 130
    assert set(results(tmp_path)) == {"ok"}
    assert run(suite, tmp_path) == 0
    assert results(tmp_path)["terminated-once"].weights_digest == undisturbed_weights()


def test_handlers_are_as_before_after_a_run(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run(FakeSuite(("ok",)), tmp_path)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("reuse", [True, False])
def test_cells_hear_whether_they_may_take_scores(tmp_path: Path, reuse: bool) -> None:
    assert run(FakeSuite(("ok",)), tmp_path, reuse=reuse) == 0
    assert results(tmp_path)["ok"].confounds["reuse"] is reuse


def test_another_suite_is_refused(tmp_path: Path) -> None:
    run(FakeSuite(("ok",)), tmp_path)
    with pytest.raises(UserError, match="holds a run of suite `fake`, not `other`"):
        run(FakeSuite(("ok",), name="other"), tmp_path)
    assert set(results(tmp_path)) == {"ok"}


def test_the_real_report_is_written_and_its_table_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(FakeSuite(("ok", "raises")), tmp_path, report=None)
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines()]
    assert any(row[:1] == ["ok"] and row[-1] == "done" for row in rows)
    assert f"report: {tmp_path / 'report.md'}" in printed
    assert "raises" in (tmp_path / "report.md").read_text()


def test_provenance_of_a_cell(fates: Path) -> None:
    for fate in ("ok", "exit"):
        record = results(fates)[fate].provenance
        assert record["versions"]["torch"]
        assert record["started"] <= record["finished"]
        assert record["started"].endswith("+00:00")
        assert record["cores"] >= 1


def test_a_full_disk_stops_the_run_and_fails_no_cell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(FakeSuite(("full-once", "ok")), tmp_path, workers=1) == 130
    assert results(tmp_path) == {}
    printed = capsys.readouterr().out
    assert "tiny--full-once--task--seed0: no room on the disk: " in printed
    assert "2 of 2 cells are left, and nothing done is lost" in printed
    assert run(FakeSuite(("full-once", "ok")), tmp_path, workers=1) == 0
    assert results(tmp_path)["full-once"].weights_digest == undisturbed_weights()


def test_a_thread_that_a_cell_leaves_behind_does_not_hold_its_place(tmp_path: Path) -> None:
    began = time.monotonic()
    assert run(FakeSuite(("thread",)), tmp_path, workers=1) == 0
    assert time.monotonic() - began < 100


def test_an_old_report_is_made_again(tmp_path: Path) -> None:
    """Killed between the last cell and the report, the same command makes it."""
    made = []

    def report(out: Path) -> str:
        made.append(out)
        return write_report(out)

    suite = FakeSuite(("ok",))
    assert run(suite, tmp_path, report=report) == 0
    assert run(suite, tmp_path, run_cell="none:none", report=report) == 0
    assert len(made) == 1
    (tmp_path / "report.sha256").unlink()
    assert run(suite, tmp_path, run_cell="none:none", report=report) == 0
    assert len(made) == 2
