from pathlib import Path

import pytest

from lwft_bench.reporting.read.records import read_run
from tests.reporting.built import run_tables
from tests.reporting.conftest import RunMaker, Synthetic


def test_the_time_of_cells_is_told_by_what_they_did(maker: RunMaker) -> None:
    # Of made-up cells training takes 20 s and probing 1 s.
    phases = {"load": 2.0, "train": 25.0, "plan": 3.0, "evaluate": 9.0}
    for seed in (0, 1):
        maker.add(Synthetic("fft", 0.5), seed, phase_seconds=phases)
    maker.add(Synthetic("base", 0.1, trains=False), 0, phase_seconds={"load": 2.0, "evaluate": 8.0})
    values = run_tables(read_run(maker.finish()))["time"].values.set_index("what")
    assert values["seconds"].to_dict() == pytest.approx(
        {
            "training steps": 40.0,
            "evaluation": 26.0,
            "between steps": 8.0,
            "loading model and data": 6.0,
            "accounting for memory and operations, judging": 6.0,
            "probing steps": 2.0,
        }
    )
    assert values["share"].sum() == pytest.approx(1.0)
    assert values.loc["evaluation", "cells"] == 3


def test_validation_is_told_apart_where_cells_recorded_it(maker: RunMaker) -> None:
    phases = {"load": 2.0, "train": 25.0, "plan": 3.0, "evaluate": 9.0}
    for seed in (0, 1):
        recorded = phases | {"validate": 4.0} if seed else phases
        maker.add(Synthetic("fft", 0.5), seed, phase_seconds=recorded)
    table = run_tables(read_run(maker.finish()))["time"]
    values = table.values.set_index("what")
    assert values.loc["validation", ["seconds", "cells"]].to_list() == [4.0, 1]
    assert values.loc["between steps", "seconds"] == pytest.approx(8.0)


def test_runs_that_did_not_record_it_have_no_such_table(run: Path) -> None:
    assert "time" not in run_tables(read_run(run))
