"""Cells of several devices, which are simulated by their environment; processes meet over gloo."""

import signal
from pathlib import Path
from typing import Any

import pytest
from fake_cells import FakeSuite, results, run, undisturbed_weights

from lwft_bench.cell.provenance import num_cores
from lwft_bench.execution.devices import Devices, Visible
from lwft_bench.schema.errors import UserError

FOUR = Visible("cuda", ("4", "5", "6", "7"))


def in_pairs(fates: tuple[str, ...], out: Path, **options: Any) -> int:
    options = {
        "devices": "all",
        "devices_per_cell": 2,
        "visible": "fake_cells:four_devices",
        "run_cell": "ranked_cells:run_cell",
        "stop_seconds": 60.0,
    } | options
    return run(FakeSuite(fates), out, **options)


def test_a_cell_has_so_many_devices_to_itself() -> None:
    cells = FakeSuite(("a", "b", "c")).cells
    devices = Devices(FOUR, FOUR.ids, per_cell=2)
    first, second = devices.place(cells[0]), devices.place(cells[1])
    assert first.environment == {"CUDA_VISIBLE_DEVICES": "4,5"}
    assert (second.devices, second.processes) == (("6", "7"), 2)
    assert devices.devices_for(cells[2]) == ()
    devices.free(cells[0].id)
    devices.retire(["4"])
    assert devices.devices_for(cells[2]) == ()
    assert devices.enough
    devices.retire(["6", "7"])
    assert not devices.enough


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices_per_cell": 5}, "--devices-per-cell 5: there are 4"),
        ({"devices_per_cell": 2, "share_bytes": 1}, "--share gives parts"),
        ({"devices": None}, "--devices-per-cell is for devices that are named"),
        ({"devices_per_cell": 17}, "training.batch_size is 16, which 17 ranks cannot share"),
    ],
)
def test_what_cannot_be_is_told(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        in_pairs(("ok",), tmp_path, needs="fake_cells:needs", **options)


@pytest.mark.slow
def test_a_cell_is_trained_by_two_processes_of_its_own(tmp_path: Path) -> None:
    assert in_pairs(("ok",), tmp_path) == 0
    result = results(tmp_path)["ok"]
    assert result.weights_digest == undisturbed_weights()
    assert (result.confounds["world"], result.confounds["device"]) == (2, "4,5")
    assert result.confounds["threads"] == str(max(1, num_cores() // 2 // 2))
    assert "torchrun" not in result.provenance["command"]


@pytest.mark.slow
def test_cells_of_several_processes_end_as_others_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fates = ("ok", "raises0", "raises1", "diverges", "exits1", "segfault1", "killed1", "killed0")
    assert in_pairs(fates, tmp_path) == 1
    found = results(tmp_path)
    errors = {fate: one.failure.error for fate, one in found.items() if one.failure is not None}
    # Its companion may have ended with 1 for want of it before anybody looked.
    assert errors.pop("exits1").startswith("ended with exit code ")
    assert errors == {
        "raises0": "KeyError: 'of process 0'",
        "raises1": "KeyError: 'of process 1'",
        "diverges": "Diverged: the loss is nan at step 4",
        "segfault1": f"killed by signal {signal.SIGSEGV.value} (SIGSEGV)",
    }
    assert found["diverges"].status == "diverged"
    done = [one for one in found.values() if one.status == "done"]
    assert {one.method for one in done} == {"ok", "killed0", "killed1"}
    assert {one.weights_digest for one in done} == {undisturbed_weights()}
    assert {one.confounds["device"] for one in done} <= {"4,5", "6,7"}
    printed = capsys.readouterr().out
    assert "devices 4, 5, 6, 7: each cell on 2 of them" in printed
    assert printed.count("its process was killed; starting it again") == 2
