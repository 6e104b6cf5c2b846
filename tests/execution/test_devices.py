"""Cells shared out on devices: four that are simulated by the environment that each cell reports."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from fake_cells import FakeSuite, four_devices, results, run, undisturbed_weights

from lwft_bench.cell.provenance import num_cores
from lwft_bench.execution.devices import Devices, Visible, chosen_devices
from lwft_bench.schema.errors import UserError

SIMULATED: dict[str, Any] = {"visible": "fake_cells:four_devices", "needs": "fake_cells:needs"}
FATES = tuple(f"ok{number}" for number in range(8))


def on_devices(fates: tuple[str, ...], out: Path, **options: Any) -> int:
    return run(FakeSuite(fates, step_seconds=0.1), out, **SIMULATED, **options)


def together(out: Path) -> dict[str, int]:
    """Device -> the most cells that were on it at once."""
    spans = defaultdict(list)
    for result in results(out).values():
        place = result.confounds
        spans[place["device"]].append((place["from"], place["to"]))
    return {
        device: max(sum(a <= begin < b for a, b in found) for begin, _ in found)
        for device, found in spans.items()
    }


def test_each_cell_sees_one_device_which_it_has_to_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert on_devices(FATES, tmp_path, devices="all") == 0
    assert together(tmp_path) == {"4": 1, "5": 1, "6": 1, "7": 1}
    threads = {result.confounds["threads"] for result in results(tmp_path).values()}
    assert threads == {str(max(1, num_cores() // 4))}
    assert "devices 4, 5, 6, 7: one cell at a time on each" in capsys.readouterr().out
    assert not any("shared_device" in one.provenance for one in results(tmp_path).values())


def test_numbers_count_what_a_scheduler_has_left_visible(tmp_path: Path) -> None:
    assert on_devices(FATES[:3], tmp_path, devices="1,3") == 0
    assert together(tmp_path).keys() == {"5", "7"}


def test_cpu_hides_the_devices(tmp_path: Path) -> None:
    assert on_devices(("ok",), tmp_path, devices="cpu") == 0
    assert results(tmp_path)["ok"].confounds["device"] == ""


def test_a_device_that_fails_is_left_out_and_its_cells_go_on_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken").write_text("6")
    assert on_devices(FATES, tmp_path, devices="all") == 0
    found = results(tmp_path)
    assert {result.weights_digest for result in found.values()} == {undisturbed_weights()}
    assert together(tmp_path).keys() == {"4", "5", "7"}
    printed = capsys.readouterr().out
    assert printed.count("device 6 has failed and is left out: CUDA error: uncorrectable ECC") == 1
    assert printed.count("goes on from its checkpoint") == 1


def test_when_all_devices_have_failed_the_run_stops_and_fails_no_cell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken").write_text("4 5")
    assert on_devices(FATES[:4], tmp_path, devices="0,1") in (1, 130)
    assert "nothing is left that cells could run on" in capsys.readouterr().out
    (tmp_path / "broken").unlink()
    assert on_devices(FATES[:4], tmp_path, devices="0,1", retry_failed=True) == 0


def test_a_cell_that_breaks_every_device_is_a_row_and_takes_one_along(tmp_path: Path) -> None:
    assert on_devices(("ecc", *FATES[:3]), tmp_path, devices="all") == 1
    failure = results(tmp_path)["ecc"].failure
    assert failure is not None
    assert failure.error.startswith("the device failed, the second under this cell: CUDA error")
    assert [results(tmp_path)[fate].status for fate in FATES[:3]] == ["done"] * 3


def test_cells_share_a_device_as_their_plans_allow_and_say_so(tmp_path: Path) -> None:
    fates = ("needs40a", "needs40b", "needs40c", "unplanned")
    options: dict[str, Any] = {"devices": "0", "share_bytes": 100, "workers": 4}
    assert on_devices(fates, tmp_path, **options) == 0
    assert together(tmp_path) == {"4": 2}
    shared = {fate: one.provenance.get("shared_device") for fate, one in results(tmp_path).items()}
    assert shared == {"needs40a": True, "needs40b": True, "needs40c": True, "unplanned": None}


def test_what_is_too_large_to_share_has_a_device_to_itself() -> None:
    small, large = FakeSuite(("small", "large")).cells
    needs = {small.id: 40, large.id: 101}
    devices = Devices(four_devices(()), ["4"], 100, lambda cell: needs[cell.id])
    assert devices.place(large).shared is False
    assert devices.devices_for(small) == ()
    devices.free(large.id)
    assert devices.place(small).shared is True
    assert devices.devices_for(large) == ()


@pytest.mark.parametrize(
    ("wanted", "ids", "message"),
    [
        ("0,4", ("0", "1"), "there is no device 4"),
        ("5,0,4", ("0", "1"), "there is no device 5, 4"),
        ("first", ("0", "1"), "expected all, cpu or numbers such as 0,1, found 'first'"),
        ("all", (), "there is no accelerator here"),
    ],
)
def test_a_device_that_is_not_there_is_told(
    wanted: str, ids: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        chosen_devices(wanted, Visible("cuda" if ids else "cpu", ids))


def test_sharing_asks_for_devices(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--share is for devices"):
        on_devices(("ok",), tmp_path, share_bytes=100)
