"""The device check's own rules: what goes wrong in a stage costs that stage, and rows stand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.device import processes
from benchmarks.device.check import check, failures
from benchmarks.device.page import page, show
from benchmarks.device.processes import Options, Outcome, outcomes
from benchmarks.device.stages import SECONDS, STAGES, Stage

ROOT = Path(__file__).parents[2]


def stage(name: str, seconds: float = 60, **options: Any) -> Stage:
    return Stage(name, name, seconds, f"tests.benchmarks.device_stages:{name}", **options)


def options(out: Path, seconds: float = 300) -> Options:
    return Options(out, "cpu", rehearse=False, seconds=seconds, planners=0)


def found(out: Path, *stages: Stage, seconds: float = 300) -> dict[str, Outcome]:
    return {one.name: one for one in outcomes(stages, options(out, seconds))}


def labels(outcome: Outcome) -> list[str]:
    return [row["what"] for row in outcome.rows if row["table"] == "numbers"]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_stage_that_overruns_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    by_name = found(tmp_path, stage("overruns", seconds=6), stage("good"))
    assert by_name["overruns"].status == "overran"
    assert labels(by_name["overruns"]) == ["before the end"]
    child = int((tmp_path / "stages/overruns/child").read_text())
    end = time.monotonic() + 5
    while alive(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(child)
    assert by_name["good"].status == "done"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("dies", "SIGKILL: it said nothing"),
        ("raises", "exit code 1: RuntimeError: a kernel that is not there"),
        ("lacks_our_own", "exit code 1: ModuleNotFoundError: No module named 'lwft_bench.nothing"),
    ],
)
def test_a_stage_that_dies_costs_itself_alone(tmp_path: Path, name: str, why: str) -> None:
    by_name = found(tmp_path, stage(name), stage("good"))
    assert by_name[name].status == "died"
    assert by_name[name].why.startswith(why)
    assert labels(by_name[name]) == ([] if name == "lacks_our_own" else ["before the end"])
    assert by_name["good"].status == "done"
    assert failures(by_name[name]) == [by_name[name].why]


def test_what_is_missing_is_skipped_with_its_reason(tmp_path: Path) -> None:
    by_name = found(
        tmp_path,
        stage("good", needs=("json", "a_package_that_nobody_has", "nor_this_one")),
        stage("lacks"),
        stage("lacks_on_import"),
    )
    assert {name: (one.status, one.why) for name, one in by_name.items()} == {
        "good": ("skipped", "not installed: a_package_that_nobody_has, nor_this_one"),
        "lacks": ("skipped", "the package of dreams is not installed"),
        "lacks_on_import": ("skipped", "the package a_package_that_nobody_has is not installed"),
    }
    assert not [line for one in by_name.values() for line in failures(one)]


def test_a_row_that_fails_costs_that_row(tmp_path: Path) -> None:
    rows = found(tmp_path, stage("one_row_of_three"))["one_row_of_three"].rows
    assert rows[0]["failed"] == "MemoryError: out of memory"
    assert rows[1]["skipped"] == "the package liger_kernel is not installed"
    assert rows[2]["passed"] is True


def test_nothing_is_tried_without_a_device(tmp_path: Path) -> None:
    by_name = found(tmp_path, stage("raises", required=True), stage("good"))
    assert (by_name["good"].status, by_name["good"].why) == (
        "skipped",
        "the stage raises has died",
    )


def test_the_whole_has_a_limit_too(tmp_path: Path) -> None:
    by_name = found(tmp_path, stage("overruns"), stage("good"), seconds=6)
    assert by_name["overruns"].limit_seconds <= 6
    assert by_name["good"].why.startswith("no time left")


def test_a_cut_off_loses_one_stage(tmp_path: Path) -> None:
    """The check is killed in its second stage: the first one's results are there, and whole."""
    code = f"""
from pathlib import Path
from benchmarks.device.check import check
from tests.benchmarks.test_device_check import options, stage
check((stage("good"), stage("overruns")), options(Path({str(tmp_path)!r})))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=ROOT)
    marker, end = tmp_path / "stages/overruns/child", time.monotonic() + 120
    while not (marker.exists() and marker.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    process.kill()
    process.wait()
    child = int(marker.read_text())
    os.killpg(os.getpgid(child), 9)  # what a machine's end would end
    document = json.loads((tmp_path / "check.json").read_text(), parse_constant=pytest.fail)
    assert [one["name"] for one in document["stages"]] == ["good"]
    assert "| one | 250.0 ms | 1.000 GiB |" in (tmp_path / "check.md").read_text()


def test_both_files_say_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check((stage("good"),), options(tmp_path))
    assert not check((stage("good"), stage("raises")), options(tmp_path))
    assert "RuntimeError: a kernel that is not there" in capsys.readouterr().out
    written = json.loads((tmp_path / "check.json").read_text())
    assert [one["status"] for one in written["stages"]] == ["done", "died"]
    text = (tmp_path / "check.md").read_text()
    assert text == page(written)
    assert "Died: exit code 1: RuntimeError: a kernel that is not there." in text


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"table": "a", "what": "b"}\n{"table": "a", "wh')
    assert processes._read(rows) == ([{"table": "a", "what": "b"}], "")


def test_budgets_fit_into_nine_minutes() -> None:
    assert sum(one.seconds for one in STAGES) <= SECONDS <= 9 * 60
    assert STAGES[0].required
    assert len({one.name for one in STAGES}) == len(STAGES)


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("peak_bytes", 3 * 2**30, "3.000 GiB"),
        ("peak_bytes", 512, "512 B"),
        ("bytes_per_second", 25e9, "25.0 GB/s"),
        ("difference_share", -0.0123, "-1.2 %"),
        ("step_seconds", 0.0123, "12.3 ms"),
        ("passed", False, "NO"),
        ("what", "a name", "a name"),
        ("low_ratio", None, ""),
    ],
)
def test_values_are_shown_as_their_columns_ask(column: str, value: Any, shown: str) -> None:
    assert show(column, value) == shown
