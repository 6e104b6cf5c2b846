"""Selections over time: what was drawn, beside what the recorded probabilities say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from built import comparison_tables, figures

from lwft_bench.reporting.numbers.comparison import Comparison, compare
from lwft_bench.reporting.numbers.selections import draws, of_row, trained_shares
from lwft_bench.reporting.read.records import RunRecords, read_run

if TYPE_CHECKING:
    from conftest import RunMaker

SHARES = (0.4, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05)
STEPS = 60


def write_periods(cell: Path, periods: list[dict[str, Any]]) -> None:
    header, *_ = (cell / "selections.jsonl").read_text().splitlines()
    lines = [header, *map(json.dumps, periods)]
    (cell / "selections.jsonl").write_text("".join(f"{line}\n" for line in lines))


def two_drawn(rng: np.random.Generator, step: int, shares: tuple[float, ...]) -> dict[str, Any]:
    units = rng.choice(8, 2, replace=False, p=shares)
    row = {"step": step, "num_steps": 1, "units": sorted(units.tolist())}
    return row | {"probabilities": SHARES, "scores": SHARES, "ages": [step] * 8}


def a_run(maker: RunMaker, drawn_by: tuple[float, ...]) -> tuple[RunRecords, Comparison]:
    """Three seeds of 60 draws by `drawn_by`, all recorded as drawn by SHARES."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        cell = maker.add(maker.method("drawn", 0.5, num_active=2), seed)
        write_periods(cell, [two_drawn(rng, step, drawn_by) for step in range(STEPS)])
    records = read_run(maker.finish())
    return records, compare(records)[0]


def test_draws_by_the_recorded_probabilities_are_near_expectation(maker: RunMaker) -> None:
    records, comparison = a_run(maker, SHARES)
    drawn = draws(of_row(records, comparison.rows[0]), 8)
    assert drawn is not None
    assert drawn.periods == 3 * STEPS
    assert drawn.expected.sum() == pytest.approx(drawn.observed.sum()) == 2 * 3 * STEPS
    assert np.abs(drawn.deviations).max() < 3.5
    assert 0.3 < np.abs(drawn.deviations).mean() < 1.6


def test_draws_by_others_are_found_out(maker: RunMaker) -> None:
    records, comparison = a_run(maker, SHARES[::-1])
    drawn = draws(of_row(records, comparison.rows[0]), 8)
    assert drawn is not None
    assert drawn.deviations[0] < -8
    row = comparison_tables(records, comparison)["selections"].display.iloc[0]
    assert row["off expectation"].startswith(("0: −", "7: +"))


def test_draws_with_replacement_are_compared_with_such(maker: RunMaker) -> None:
    rng = np.random.default_rng(0)
    cell = maker.add(maker.method("drawn", 0.5, num_active=2), 0)
    config = json.loads((cell / "config.json").read_text())
    inner = {"name": "grass", "num_active": 2, "replacement": True}
    config["method"]["strategy"] = {"name": "permuted", "inner": inner}
    (cell / "config.json").write_text(json.dumps(config))
    periods = []
    for step in range(400):
        units = sorted(set(rng.choice(8, 2, p=SHARES).tolist()))
        periods.append({"step": step, "num_steps": 1, "units": units, "probabilities": SHARES})
    write_periods(cell, periods)
    records = read_run(maker.finish())
    drawn = draws(of_row(records, compare(records)[0].rows[0]), 8)
    assert drawn is not None
    assert drawn.expected[0] == pytest.approx(400 * (1 - 0.6**2))
    assert np.abs(drawn.deviations).max() < 3.5


def test_shares_are_of_steps_and_end_with_training(maker: RunMaker) -> None:
    cell = maker.add(maker.method("drawn", 0.5, num_active=2), 0)
    periods = [
        {"step": 0, "num_steps": 45, "units": [0, 1]},
        {"step": 45, "num_steps": 45, "units": [1, 2]},
    ]
    write_periods(cell, periods)
    records = read_run(maker.finish())
    shares = trained_shares(of_row(records, compare(records)[0].rows[0]), 8)
    assert shares[:3] == pytest.approx([0.75, 1, 0.25])


def test_the_table_tells_concentration_and_age(maker: RunMaker) -> None:
    records, comparison = a_run(maker, SHARES)
    table = comparison_tables(records, comparison)["selections"]
    (row,) = table.display.to_dict("records")
    effective = np.exp(-sum(share * np.log(share) for share in SHARES))
    assert row["effective units, first → last"] == f"{effective:.2f} → {effective:.2f}"
    assert row["age (steps)"] == "30, at most 59"
    assert row["most trained"].startswith("0: ")
    assert len(table.values) == 8


def test_methods_that_train_everything_are_left_out(maker: RunMaker) -> None:
    maker.add(maker.method("fft", 0.5), 0)
    records = read_run(maker.finish())
    (comparison,) = compare(records)
    assert "selections" not in comparison_tables(records, comparison)
    assert not figures(records).keys() & {
        "selections",
        "concentration",
        "probabilities",
        "inclusion",
    }


def test_figures_of_extreme_probabilities(maker: RunMaker) -> None:
    cell = maker.add(maker.method("drawn", 0.5, num_active=2), 0)
    certain = [1.0, *[0.0] * 7]
    period = {"num_steps": 30, "units": [0, 5], "probabilities": certain, "ages": [0] * 8}
    write_periods(cell, [{"step": step, **period} for step in (0, 30)])
    records = read_run(maker.finish())
    (comparison,) = compare(records)
    assert {"selections", "concentration", "inclusion"} <= figures(records).keys()
    drawn = draws(of_row(records, comparison.rows[0]), 8)
    assert drawn is not None
    assert drawn.deviations[0] == 0
