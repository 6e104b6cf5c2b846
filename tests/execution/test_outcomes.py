import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fake_cells import FakeSuite

from lwft_bench.cell.outcomes import (
    SERVER_DIED,
    Ended,
    died,
    num_oom_kills,
    one_line,
    raised,
    status_of,
)
from lwft_bench.schema.run import CellRecord
from lwft_bench.training.errors import Diverged

RECORD = CellRecord(digest="d", components={}, threads=1)


@pytest.mark.parametrize(
    ("ended", "status", "error"),
    [
        (Ended(3, "load"), "crashed", "ended with exit code 3 and without a result"),
        (Ended(-signal.SIGABRT, "train"), "crashed", "killed by signal 6 (SIGABRT)"),
        (Ended(-9, "train"), "crashed", "killed by signal 9 (out of host memory?)"),
        (Ended(-9, "train", out_of_memory=True), "out_of_memory", "out of host memory"),
        (Ended(-9, "probe", hung_seconds=1800.2), "hung", "no sign of life for 1800 s"),
        (Ended(SERVER_DIED, "train"), "crashed", "server of the cells' processes died"),
    ],
)
def test_how_a_process_ended_is_its_status(
    tmp_path: Path, ended: Ended, status: str, error: str
) -> None:
    log = tmp_path / "cell.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    (cell,) = FakeSuite(("ok",)).cells
    result = died(cell, RECORD, ended, log, datetime.now(UTC))
    assert result.failure is not None
    assert (result.status, result.failure.phase) == (status, ended.phase)
    assert error in result.failure.error
    assert result.failure.traceback.splitlines() == [f"line {number}" for number in range(70, 100)]


def test_a_log_of_any_size_leaves_the_end_of_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "cell.log"
    log.write_text("x" * 30_000_000 + "\nthe last line\n")
    (cell,) = FakeSuite(("ok",)).cells
    result = died(cell, RECORD, Ended(1, "train"), log, datetime.now(UTC))
    assert result.failure is not None
    assert result.failure.traceback.endswith("x\nthe last line")
    assert len(result.model_dump_json()) < 50_000


def test_a_message_of_any_size_is_kept_in_part(tmp_path: Path) -> None:
    (cell,) = FakeSuite(("ok",)).cells
    error = ValueError("y" * 30_000_000)
    result = raised(cell, RECORD, error, "load", datetime.now(UTC))
    assert result.failure is not None
    assert result.failure.error.startswith("ValueError: yyy")
    assert len(result.model_dump_json()) < 50_000


@pytest.mark.parametrize(
    ("ended", "outside"),
    [
        (Ended(-9, "train"), True),
        (Ended(SERVER_DIED, "train"), True),
        (Ended(-9, "train", out_of_memory=True), False),
        (Ended(-9, "train", hung_seconds=1.0), False),
        (Ended(-11, "train"), False),
        (Ended(1, "train"), False),
    ],
)
def test_only_a_kill_without_a_reason_of_the_cells_own_is_from_outside(
    ended: Ended, outside: bool
) -> None:
    assert ended.killed_from_outside is outside


def test_the_status_of_an_error() -> None:
    import torch

    assert status_of(Diverged("nan")) == "diverged"
    assert status_of(MemoryError()) == "out_of_memory"
    assert status_of(torch.OutOfMemoryError("CUDA out of memory")) == "out_of_memory"
    assert status_of(RuntimeError("shapes do not fit")) == "failed"
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert status_of(caught.value) == "out_of_memory"


def test_one_line() -> None:
    assert one_line("a\n\n  b\t\x1b[31mc\x00") == "a b [31mc"
    assert len(one_line("x" * 2000)) == 500


@pytest.mark.skipif(not Path("/proc/vmstat").exists(), reason="Linux tells")
def test_the_kernel_counts_its_kills() -> None:
    count = num_oom_kills()
    assert count is not None
    assert count >= 0
