"""What was tuned, what it decided and what it cost, as the report says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from built import comparison_tables

from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.render.table import Table
from lwft_bench.reporting.report import write_report

if TYPE_CHECKING:
    from conftest import RunMaker


def tables(maker: RunMaker) -> dict[str, Table]:
    records = read_run(maker.finish())
    (comparison,) = compare(records)
    return comparison_tables(records, comparison)


@pytest.fixture
def tuned(maker: RunMaker) -> RunMaker:
    """fft's best value is in the middle of its grid, lora's at its end, beside one that diverged."""
    for name, losses, chosen in (
        ("fft", {0.001: 0.9, 0.003: 0.5, 0.01: 0.8}, 0.003),
        ("lora", {0.0001: None, 0.001: 0.9, 0.003: 0.7}, 0.003),
    ):
        maker.tune(maker.method(name, 0.5), losses, chosen)
        maker.add(maker.method(name, 0.5), 0, training={"lr": chosen})
    return maker


def test_the_chosen_value_its_sensitivity_and_cost(tuned: RunMaker) -> None:
    table = tables(tuned)["tuning"]
    values = table.values.set_index("method")
    assert values.loc["fft", "chosen"] == "training.lr=0.003"
    assert values["validation_loss"].tolist() == [0.5, 0.7]
    assert values["sensitivity"].tolist() == pytest.approx([0.4, 0.2])
    assert values["steps"].tolist() == [180, 120]
    assert values["flops"].tolist() == [3 * 3_210_000_000_000, 2 * 3_210_000_000_000]
    assert values["seconds"].tolist() == pytest.approx([63.0, 42.0])
    shown = table.display.set_index("method")
    assert shown.loc["lora", "sensitivity"] == "0.2000 (1 without a loss)"
    assert "The cost of the 1 trials that are not done was not recorded." in table.notes


def test_a_best_value_at_the_edge_is_said_on_top_of_the_report(tuned: RunMaker) -> None:
    shown = tables(tuned)["tuning"].display.set_index("method")["at the edge of its grid"]
    assert shown.tolist() == ["no", "YES: largest training.lr"]
    report = write_report(tuned.finish()).read_text()
    loud = "> **Warning:** The best training.lr tried for lora, 0.003, is the largest of its grid"
    assert report.index(loud) < report.index("### Tuning")


def test_every_trial_is_a_row_and_no_cell_of_the_comparison(tuned: RunMaker) -> None:
    found = tables(tuned)
    trials = found["trials"].display
    assert len(trials) == 6
    diverged = trials.iloc[3]
    assert diverged[["values", "seed", "validation loss", "status"]].tolist() == [
        "training.lr=0.0001",
        "100",
        "–",
        "diverged",
    ]
    assert "nan at step 4" in diverged["error"]
    assert trials["chosen"].tolist() == ["", "yes", "", "", "", "yes"]
    assert found["main"].display["seeds"].tolist() == ["1 of 1", "1 of 1"]


def test_trials_of_an_earlier_grid_are_named_and_not_compared(tuned: RunMaker) -> None:
    tuned.tune(tuned.method("lisa", 0.5), {0.1: 0.5}, 0.1)
    del tuned.tunings[-1], tuned.trials[-1]
    found = tables(tuned)
    assert any("1 other trials lie in the run directory" in note for note in found["tuning"].notes)
    assert found["main"].display["method"].tolist() == ["fft", "lora"]


def test_cells_that_cannot_run_say_why(maker: RunMaker) -> None:
    fft = maker.method("fft", 0.5)
    maker.tune(fft, {0.1: None, 1.0: None}, None)
    planned = maker.plan(maker.cell(fft, 0))
    maker.planned[-1] = planned.model_copy(update={"identity": None})
    report = write_report(maker.finish()).read_text()
    assert "| no trial of its tuning has a validation loss |" in report
    assert tables(maker)["tuning"].display["chosen"].tolist() == ["no trial has a validation loss"]


def test_a_run_that_tunes_nothing_has_no_such_tables(maker: RunMaker) -> None:
    maker.add(maker.method("fft", 0.5), 0)
    assert not {"tuning", "trials"}.intersection(tables(maker))
