"""The self-test passes where it can run, fails when the engine is wrong, and is cited."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor
from typer.testing import CliRunner

from lwft_bench.cell import selftest_verdict
from lwft_bench.cli.commands import app
from lwft_bench.dry_run.steps import CellSteps
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.result import Check
from lwft_bench.selftest import checks as checks_module
from lwft_bench.selftest.checks import checks
from lwft_bench.selftest.run import run_selftest
from lwft_bench.state.engine import SynchronousEngine


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(checks_module, "PRECISIONS", {"float32": None, "bf16": None})
    monkeypatch.setattr(checks_module, "STEPS_WITHOUT_QUEUES", 12)
    monkeypatch.setattr(checks_module, "NUM_SCHEDULES", 2)


@pytest.mark.parametrize("device", ["cpu", "simulated"])
def test_it_passes_here(device: str) -> None:
    found = list(checks(device))
    assert [check.detail for check in found if not check.passed] == []
    assert len(found) == (3 if device == "cpu" else 2)


def test_it_finds_an_engine_that_loses_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    copy_out, calls = SynchronousEngine.copy_out, iter(range(10**9))
    monkeypatch.setattr(
        SynchronousEngine,
        "copy_out",
        lambda self, host, device: None if next(calls) == 30 else copy_out(self, host, device),
    )
    failed = {check.name for check in checks("cpu") if not check.passed}
    assert "placement-float32" in failed


def test_it_finds_a_plan_that_leaves_something_out(monkeypatch: pytest.MonkeyPatch) -> None:
    run_step, stray = CellSteps.run_step, []

    def leaking(self: CellSteps, *, update: bool = True) -> int:
        if not isinstance(self.batches[0].input_ids, FakeTensor):
            stray.append(torch.zeros(2**18))
        return run_step(self, update=update)

    monkeypatch.setattr(CellSteps, "run_step", leaking)
    assert {check.name for check in checks("cpu") if not check.passed} == {"planned-memory"}


def test_a_device_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(UserError, match="expected one of cpu, simulated"):
        run_selftest("cuda", print)


def test_the_command_keeps_what_reports_cite(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = Check(name="placement", passed=True, detail="all the same")
    monkeypatch.setattr("lwft_bench.selftest.run.checks", lambda device: iter([passed]))
    assert (
        selftest_verdict.verdict("cpu", torch.__version__) == "engine not verified on this device"
    )
    told = CliRunner().invoke(app, ["selftest", "--device", "cpu"])
    assert told.exit_code == 0
    assert "ok      placement: all the same" in told.output
    assert selftest_verdict.verdict("cpu", torch.__version__).startswith("self-test passed on 20")
    assert "since torch or the engine changed" in selftest_verdict.verdict("cpu", "0.1")


def test_a_failure_is_cited_too() -> None:
    failed = Check(name="delayed-in", passed=False, detail="3 differ")
    selftest_verdict.write_record("NVIDIA A100", "2", [failed])
    assert selftest_verdict.verdict("NVIDIA A100", "2").startswith("self-test FAILED")
