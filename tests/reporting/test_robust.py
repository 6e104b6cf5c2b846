"""Interquartile means and probabilities of improvement, and the bootstrap around them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from built import comparison_tables
from scipy import stats

from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.numbers.robust import (
    Benchmark,
    estimate,
    interquartile_mean,
    probability_of_improvement,
)
from lwft_bench.reporting.numbers.statistics import crossed_mean
from lwft_bench.reporting.read.records import read_run

if TYPE_CHECKING:
    from conftest import RunMaker


def correctness(rng: np.random.Generator, seeds: int, level: float) -> np.ndarray:
    chance = level + rng.normal(0, 0.2, 60) + rng.normal(0, 0.03, (seeds, 1))
    return (rng.random((seeds, 60)) < chance).astype(float)


def test_the_interquartile_mean_is_scipys_trimmed_mean() -> None:
    scores = np.random.default_rng(0).random((5, 6))
    assert interquartile_mean(scores) == pytest.approx(stats.trim_mean(scores, 0.25, axis=None))
    assert interquartile_mean(np.stack([scores, scores + 1])).shape == (2,)


def test_probability_of_improvement_is_that_of_mann_whitney() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.integers(0, 6, (2, 4, 3)).astype(float)
    u = [stats.mannwhitneyu(one[:, b], other[:, b]).statistic / 16 for b in range(3)]
    assert probability_of_improvement(one, other) == pytest.approx(np.mean(u))
    assert probability_of_improvement(one, one + 9) == 0
    assert probability_of_improvement(one, one + 0) == pytest.approx(0.5)


@pytest.mark.parametrize("clustered", [False, True])
def test_of_a_plain_mean_the_bootstrap_gives_the_analysis_of_variances_error(
    clustered: bool,
) -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(60) % 5 if clustered else None
    tables = [correctness(rng, 5, level) for level in (0.3, 0.5, 0.7)]
    found = estimate(
        lambda scores: scores.mean(axis=(-2, -1)),
        [[Benchmark(table, labels) for table in tables]],
    )
    expected = crossed_mean(tables, [labels] * 3)
    assert found.mean == pytest.approx(expected.mean)
    assert found.stderr == pytest.approx(expected.stderr, rel=0.2)
    assert found.item_stderr == pytest.approx(expected.item_stderr, rel=0.08)


def test_the_table_compares_with_the_baseline(run: Path) -> None:
    records = read_run(run)
    table = comparison_tables(records, compare(records)[0])["robust"]
    shown = table.display.set_index("method")
    assert shown.loc["fft"].tolist()[1:] == ["–", "–"]
    values = table.values.set_index("method")
    assert values.loc["lisa", "probability_of_improvement"] < 0.1
    assert values.loc["lisa", "difference_high"] < 0
    low, high = (
        values.loc["grass (temperature=1.0)", f"difference_{end}"] for end in ("low", "high")
    )
    assert low < 0 < high
    assert comparison_tables(records, compare(records)[0])["robust"].values.equals(table.values)


def test_one_item_a_benchmark_has_no_error_and_breaks_nothing(maker: RunMaker) -> None:
    maker.num_items = 1
    for seed in range(3):
        for name in ("fft", "lisa"):
            folder = maker.add(maker.method(name, 0.5), seed)
            samples = (folder / "samples.jsonl").read_text()
            (folder / "samples.jsonl").write_text(samples.replace("false", "true"))
    records = read_run(maker.finish())
    table = comparison_tables(records, compare(records)[0])["robust"]
    assert [*table.display["interquartile mean"]] == ["100.0", "100.0"]
    assert [*table.display.iloc[:, -1]] == ["–", "50"]
