"""What is checked before the first cell starts, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_cells import FakeSuite, run

from lwft_bench.schema.errors import UserError


def test_warnings_are_told_and_cells_that_are_done_are_not_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(FakeSuite(("ok", "other")), tmp_path, check="fake_checks:warns") == 0
    assert "warning: 2 cells looked at" in capsys.readouterr().out
    assert run(FakeSuite(("ok", "other", "new")), tmp_path, check="fake_checks:warns") == 0
    assert "warning: 1 cells looked at" in capsys.readouterr().out
    assert run(FakeSuite(("ok", "other", "new")), tmp_path, check="none:none") == 0


def test_problems_end_the_run_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one thing is wrong\n  mend it\nanother is too"):
        run(FakeSuite(("ok",)), tmp_path, check="fake_checks:finds")
    assert not (tmp_path / "cells").exists()
    assert not (tmp_path / "suite.json").exists()


def test_cells_that_so_many_processes_cannot_train_are_told_with_all_else(tmp_path: Path) -> None:
    training = {"sharded": 2, "batch_size": 2}
    suite = FakeSuite(("ok", "other"), training=training)
    with pytest.raises(UserError) as raised:
        run(suite, tmp_path, check="fake_checks:finds", devices="cpu", devices_per_cell=3)
    told = raised.value.message
    for method in ("ok", "other"):
        assert f"method {method}: training.sharded is 2, and each of its cells would have 3" in told
        assert f"method {method}: training.batch_size is 2, which 3 ranks cannot share" in told
    assert "one thing is wrong" in told and "another is too" in told
    assert not (tmp_path / "suite.json").exists()


def test_cells_that_are_done_are_not_asked_for_their_processes(tmp_path: Path) -> None:
    suite = FakeSuite(("ok",), training={"batch_size": 2})
    assert run(suite, tmp_path) == 0
    assert run(suite, tmp_path, devices="cpu", devices_per_cell=3) == 0


def test_a_file_that_ends_the_check_by_a_signal_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ended by signal 11: a file of a model or a data set"):
        run(FakeSuite(("ok",)), tmp_path, check="fake_checks:dies")


def test_an_error_that_nobody_expected_is_shown_whole(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="KeyError: 'not expected'"):
        run(FakeSuite(("ok",)), tmp_path, check="fake_checks:breaks")
