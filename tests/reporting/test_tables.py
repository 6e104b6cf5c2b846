"""The tables' numbers against the files, read and averaged in plain Python."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from built import comparison_tables, run_tables

from lwft_bench.reporting.numbers.comparison import Comparison, compare
from lwft_bench.reporting.read.records import RunRecords, read_run
from lwft_bench.reporting.render.table import Table

if TYPE_CHECKING:
    from conftest import RunMaker


@pytest.fixture(scope="module")
def records(run: Path) -> RunRecords:
    return read_run(run)


@pytest.fixture(scope="module")
def comparison(records: RunRecords) -> Comparison:
    (only,) = compare(records)
    return only


@pytest.fixture(scope="module")
def tables(records: RunRecords, comparison: Comparison) -> dict[str, Table]:
    return comparison_tables(records, comparison)


def shares(run: Path, cell: str) -> dict[str, float]:
    """Benchmark -> share of correct samples."""
    found: dict[str, list[bool]] = {}
    for line in (run / "cells" / cell / "samples.jsonl").read_text().splitlines():
        row = json.loads(line)
        found.setdefault(row["benchmark"], []).append(row["correct"])
    return {benchmark: sum(right) / len(right) for benchmark, right in found.items()}


def test_accuracies_are_those_of_the_samples(run: Path, tables: dict[str, Table]) -> None:
    values = tables["main"].values.set_index("method")
    cells = [shares(run, f"tiny--lisa--arith--seed{seed}") for seed in range(3)]
    for benchmark in cells[0]:
        expected = statistics.fmean(cell[benchmark] for cell in cells)
        assert values.loc["lisa", benchmark] == pytest.approx(expected)
    averages = [statistics.fmean(cell.values()) for cell in cells]
    assert values.loc["lisa", "average"] == pytest.approx(statistics.fmean(averages))
    shown = tables["main"].display.set_index("method").loc["lisa", "average"]
    assert shown.startswith(f"{100 * statistics.fmean(averages):.1f} ± ")


def test_difference_is_paired_over_the_shared_seeds(run: Path, tables: dict[str, Table]) -> None:
    """lora's third seed failed: two seeds are left, and one degree of freedom.

    The standard error is that of `crossed_mean`, which test_statistics.py works out.
    """
    per_seed = [
        statistics.fmean(shares(run, f"tiny--lora--arith--seed{seed}").values())
        - statistics.fmean(shares(run, f"tiny--fft--arith--seed{seed}").values())
        for seed in range(2)
    ]
    mean = statistics.fmean(per_seed)
    values = tables["differences"].values.set_index("method")
    margin = 12.7062 * values.loc["lora", "stderr"]
    assert values.loc["lora", "seed_stderr"] == pytest.approx(statistics.stdev(per_seed) / 2**0.5)
    row = tables["main"].values.set_index("method").loc["lora"]
    assert row["difference"] == pytest.approx(mean)
    assert row["difference_low"] == pytest.approx(mean - margin, abs=1e-5)
    assert row["difference_high"] == pytest.approx(mean + margin, abs=1e-5)


def test_every_pair_of_methods_is_compared(tables: dict[str, Table]) -> None:
    """What is said of a pair one way round is said the other way round, with the other sign."""
    values = tables["pairwise"].values.set_index(["method", "minus"])
    to_baseline = tables["differences"].values.set_index("method")
    labels = {label for label, _ in values.index}
    assert len(values) == len(labels) * (len(labels) - 1)
    for label in labels - {"fft"}:
        pair, expected = values.loc[(label, "fft")], to_baseline.loc[label]
        assert pair["difference"] == pytest.approx(expected["difference"])
        back = values.loc[("fft", label)]
        assert back["difference"] == pytest.approx(-pair["difference"])
        assert back["low"] == pytest.approx(-pair["high"])


def test_every_benchmark_is_compared_with_the_baselines(
    run: Path, tables: dict[str, Table]
) -> None:
    values = tables["by_benchmark"].values.set_index(["method", "benchmark"])
    assert len(values) == len(tables["by_benchmark"].display) * 6
    lisa, fft = (shares(run, f"tiny--{name}--arith--seed0") for name in ("lisa", "fft"))
    display = tables["by_benchmark"].display.set_index("method")
    for benchmark in lisa:
        found = values.loc[("lisa", benchmark)]
        per_seed = [
            shares(run, f"tiny--lisa--arith--seed{seed}")[benchmark]
            - shares(run, f"tiny--fft--arith--seed{seed}")[benchmark]
            for seed in range(3)
        ]
        assert found["difference"] == pytest.approx(statistics.fmean(per_seed))
        marked = display.loc["lisa", benchmark].endswith("*")
        assert marked == (found["beyond_noise"] == "yes") == (found["p_holm"] < 0.05)
    assert lisa.keys() == fft.keys()


def test_ties_with_the_best_are_marked(tables: dict[str, Table]) -> None:
    """grass at 56 and fft at 55 % cannot be told apart; lisa at 42 % can."""
    main = tables["main"]
    marked = main.display["method"][main.display["average"].str.endswith("†")]
    assert {"grass (temperature=1.0)", "fft"} <= set(marked)
    assert not {"lisa", "base"} & set(marked)
    assert (
        main.values["best_or_tied"].tolist() == main.display["average"].str.endswith("†").tolist()
    )


def test_one_seed_has_no_interval_no_verdict_and_no_best(maker: RunMaker) -> None:
    records = read_run(maker.fill((0,)))
    (comparison,) = compare(records)
    tables = comparison_tables(records, comparison)
    verdicts = tables["differences"].display["beyond noise"]
    assert set(verdicts) == {"undecided: one seed"}
    assert tables["differences"].values["low"].isna().all()
    assert not tables["main"].display["average"].str.contains("†").any()
    assert tables["pairwise"].display.iloc[0, 2].endswith("(one seed)")
    assert "undecided" in tables["equal_memory"].display["best average"].iloc[-1]


def test_end_to_end_speed_has_a_column_where_it_was_recorded(
    tables: dict[str, Table], maker: RunMaker
) -> None:
    assert "tokens/s, end to end" not in tables["main"].display
    for rate in (490.0, 510.0):
        seed = int(rate)
        folder = maker.add(maker.method("fft", 0.5), seed)
        result = json.loads((folder / "result.json").read_text())
        result["throughput"]["end_to_end_target_tokens_per_second"] = rate
        (folder / "result.json").write_text(json.dumps(result))
    records = read_run(maker.finish())
    main = comparison_tables(records, compare(records)[0])["main"]
    assert main.display.set_index("method").loc["fft", "tokens/s, end to end"] == "500 ± 10"
    assert "with warm-up, probing, measuring and switches" in " ".join(main.notes)


def test_failed_cells_are_rows(tables: dict[str, Table], records: RunRecords) -> None:
    row = tables["main"].display.set_index("method").loc["lora"]
    assert row["status"] == "2 done, 1 out_of_memory"
    assert row["seeds"] == "2 of 3"
    failures = run_tables(records)["failures"].display
    assert failures.values.tolist() == [
        [
            "tiny--lora--arith--seed2",
            "out_of_memory",
            "train",
            "OutOfMemoryError: 3 GiB & more | a_b",
        ]
    ]


def test_memory_and_speed_carry_units_and_spread(tables: dict[str, Table], run: Path) -> None:
    row = tables["main"].display.set_index("method").loc["fft"]
    assert row["peak memory"] == "51.0 MiB"
    rates = [
        json.loads((run / "cells" / f"tiny--fft--arith--seed{seed}" / "result.json").read_text())[
            "throughput"
        ]["target_tokens_per_second"]
        for seed in range(3)
    ]
    expected = f"{statistics.fmean(rates):,.0f} ± {statistics.stdev(rates) / 3**0.5:,.0f}"
    assert row["tokens/s"] == expected
    notes = " ".join(tables["main"].notes)
    assert "accounted" in notes
    assert "Made-up CPU, 2 cores (2 CPU threads)" in notes


def test_untrained_row_has_no_training_figures(tables: dict[str, Table]) -> None:
    row = tables["main"].display.set_index("method").loc["base"]
    assert row[["peak memory", "tokens/s", "seeds"]].tolist() == ["–", "–", "–"]
    assert "base" not in tables["memory"].display.columns


def test_confounds_are_what_differs_for_the_same_seed(tables: dict[str, Table]) -> None:
    """`target_tokens` follows the seed and is the same for all methods, so it is no confound."""
    table = tables["confounds"]
    assert table.display["differs"].tolist() == ["adapter", "always_train", "probing_steps"]
    row = table.display.set_index("differs").loc["adapter"]
    assert (row["fft"], row["lora"]) == ("full", "lora")
    (note,) = table.notes
    assert "weights_dtype: float32" in note
    assert "target_tokens: 30,000 to 30,002" in note


def test_ablated_values_are_rows_of_the_main_table_and_compared(tables: dict[str, Table]) -> None:
    methods = tables["main"].display["method"].tolist()
    assert methods[-2:] == ["grass (temperature=0.1)", "grass (temperature=1.0)"]
    ablations = tables["ablations"]
    assert ablations.display["option"].tolist() == ["temperature=0.1", "temperature=1.0"]
    main = tables["main"].values.set_index("method")["average"]
    assert ablations.values["difference"].iloc[1] == pytest.approx(main.iloc[-1] - main.iloc[-2])


def test_a_failed_engagement_check_is_named_with_its_cell(maker: RunMaker) -> None:
    folder = maker.add(maker.method("fft", 0.5), 0)
    result = json.loads((folder / "result.json").read_text())
    check = {"name": "selected_change", "passed": False, "detail": "layer.3 kept its bits"}
    result["engagement"] = {"passed": False, "checks": [check]}
    (folder / "result.json").write_text(json.dumps(result))
    records = read_run(maker.finish())
    (comparison,) = compare(records)
    table = comparison_tables(records, comparison)["engagement"]
    assert table.display["engaged"].tolist() == ["0 of 1 cells"]
    assert any("layer.3 kept its bits" in note for note in table.notes)


def test_components_at_the_peak_are_shown(tables: dict[str, Table]) -> None:
    table = tables["memory"].display.set_index("memory")
    assert table.loc["at the peak: weights", "fft"] == "25.5 MiB"
    assert table.loc["by phase: forward", "fft"] == "38.2 MiB"
    assert table.loc["own peak: activations", "fft"] == "17.0 MiB"


def test_several_models_have_a_table_each(maker: RunMaker) -> None:
    for model in ("tiny", "small"):
        maker.add(maker.method("fft", 0.5), 0, model=model)
    records = read_run(maker.finish())
    comparisons = compare(records)
    names = [comparison_tables(records, one)["main"].name for one in comparisons]
    assert names == ["main--tiny--arith", "main--small--arith"]


def test_whose_answers_they_are_stands_under_the_main_table(maker: RunMaker) -> None:
    engine = {"name": "ctranslate2", "version": "4.8.5", "num_compared": 32}
    for seed, equal in enumerate((32, 30)):
        maker.add(maker.METHODS[1], seed, engine=engine | {"num_equal": equal})
    maker.add(maker.METHODS[0], 0)
    records = read_run(maker.finish())
    main = comparison_tables(records, compare(records)[0])["main"]
    assert (
        "Answers were generated by ctranslate2 4.8.5 in 2 of 3 cells; of 64 that transformers looked "
        "at too 62 are its own." in main.notes
    )


def test_with_one_seed_nothing_is_said_of_stars_and_intervals(maker: RunMaker) -> None:
    for name in ("fft", "lisa"):
        maker.add(maker.method(name, 0.5), 0)
    records = read_run(maker.finish())
    found = comparison_tables(records, compare(records)[0])
    for name in ("differences", "by_benchmark", "robust"):
        notes = " ".join(found[name].notes)
        assert "Beyond noise" not in notes and "95 % intervals" not in notes
    assert found["differences"].notes == (
        "With one seed nothing is known of how seeds differ: no interval and no verdict.",
    )
