"""The run's scores beside those of a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from built import comparison_tables

from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.numbers.measurements import throughputs
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.render.table import Table
from lwft_bench.reporting.report import write_report
from lwft_bench.reporting.tables_over_runs import print_table
from lwft_bench.schema.suite import Published

if TYPE_CHECKING:
    from conftest import RunMaker

SOURCE = "A paper | with a bar, table 3"
PRINTED = {"fft": {"add-sub": 50.0, "average": 55.25}, "lora": {"average": 20.0}, "absent": {}}


def filled(maker: RunMaker, scores: dict[str, dict[str, dict[str, float]]]) -> Path:
    maker.published = Published(source=SOURCE, scores=scores)
    return maker.fill((0, 2))


def table_of(run: Path) -> Table | None:
    records = read_run(run)
    return comparison_tables(records, compare(records)[0]).get("published")


def test_a_run_without_published_numbers_has_no_table(run: Path, maker: RunMaker) -> None:
    assert table_of(run) is None
    assert table_of(filled(maker, {"other": PRINTED})) is None


def test_nothing_is_compared_before_something_is_scored(maker: RunMaker) -> None:
    maker.published = Published(source=SOURCE, scores={"tiny": PRINTED})
    maker.fail(maker.method("fft", 0.5), 0, "crashed", "killed")
    assert table_of(maker.finish()) is None


def test_numbers_stand_side_by_side(maker: RunMaker) -> None:
    run = filled(maker, {"tiny": PRINTED})
    table = table_of(run)
    assert table is not None
    assert table.display[["method", "benchmark", "published"]].values.tolist() == [
        ["fft", "add-sub", "50.00"],
        ["fft", "average", "55.25"],
        ["lora", "add-sub", "–"],
        ["lora", "average", "20.00"],
    ]
    records = read_run(run)
    rows = {row.label: row for row in compare(records)[0].rows}
    average = rows["fft"].accuracy["average"]
    values = table.values.set_index(["method", "benchmark"])
    assert values.loc[("fft", "average"), "here"] == average.mean
    assert values.loc[("fft", "average"), "published"] == pytest.approx(0.5525)
    shown = table.display.set_index(["method", "benchmark"])
    signed = f"{100 * average.mean - 55.25:+.1f}".replace("-", "−")
    difference = f"{signed} ± {100 * average.stderr:.1f}"
    assert shown.loc[("fft", "average"), "here − published"] == difference
    assert shown.loc[("lora", "add-sub"), "here − published"] == "–"
    assert shown.loc[("lora", "add-sub"), "here"] != "–"


def test_notes_say_where_numbers_stand_and_what_they_lack(maker: RunMaker) -> None:
    table = table_of(filled(maker, {"tiny": PRINTED}))
    assert table is not None
    assert table.notes[0] == f"Published: {SOURCE}."
    assert table.notes[1] == (
        "Without numbers there: base, lisa, grass (temperature=0.1) and grass (temperature=1.0)."
    )
    assert "multi-step, grade-school, add-sub" in table.notes[2]


def test_a_method_without_a_score_here_keeps_its_published_one(maker: RunMaker) -> None:
    maker.published = Published(source=SOURCE, scores={"tiny": PRINTED})
    maker.add(maker.method("fft", 0.5), 0)
    maker.fail(maker.method("lora", 0.1), 0, "out_of_memory", "too large")
    table = table_of(maker.finish())
    assert table is not None
    assert table.display.iloc[-1].tolist() == ["lora", "average", "–", "20.00", "–"]


def test_every_row_of_an_ablated_method_is_compared(maker: RunMaker) -> None:
    table = table_of(filled(maker, {"tiny": {"grass": {"average": 40.0}}}))
    assert table is not None
    rows = ["grass (temperature=0.1)", "grass (temperature=1.0)"]
    assert table.display["method"].tolist() == rows


def test_the_report_has_it_in_all_formats(maker: RunMaker) -> None:
    run = filled(maker, {"tiny": PRINTED})
    text = write_report(run).read_text()
    assert "### Against the published numbers" in text
    assert "| lora | average |" in text
    assert "A paper \\| with a bar" in text
    for suffix in ("md", "tex", "csv"):
        assert (run / f"tables/published.{suffix}").is_file()
    assert "here $-$" in print_table(run, "latex", "published").replace("\\\\", " ")
    header, first, *_ = print_table(run, "csv", "published").splitlines()
    fields = dict(zip(header.split(","), first.split(","), strict=True))
    assert (fields["method"], fields["benchmark"], fields["published"]) == ("fft", "add-sub", "0.5")


def test_what_was_read_is_said(maker: RunMaker) -> None:
    run = filled(maker, {"tiny": PRINTED})
    maker.published = Published(source=SOURCE, kind="summary", scores={"tiny": PRINTED})
    assert run
    table = table_of(maker.finish())
    assert table is not None
    assert table.notes[0].endswith("summary of it, in which single cells may be wrong.")


def test_published_memory_and_speed(maker: RunMaker) -> None:
    maker.published = Published(
        source=SOURCE,
        peak_gb={"tiny": {"fft": 51.32, "grass": 19.08}, "other": {"lora": 1.0}},
        tokens_per_second={"tiny": {"lora": 3200.0}},
        conditions="H100, 1 x 1024",
    )
    run = maker.fill((0,))
    records = read_run(run)
    comparison = compare(records)[0]
    tables = comparison_tables(records, comparison)
    assert "published" not in tables, "no scores"
    table = tables["published_cost"]
    by_method = table.values.set_index("method")
    assert by_method.loc["fft", "published_peak_gb"] == 51.32
    assert by_method.loc["lora", "published_tokens_per_second"] == 3200
    fft = next(row for row in comparison.rows if row.label == "fft")
    (speed,) = (one.tokens_per_second for one in throughputs(fft))
    assert by_method.loc["fft", "tokens_per_second"] == speed
    assert set(by_method.index) == {
        "fft",
        "lora",
        "grass (temperature=0.1)",
        "grass (temperature=1.0)",
    }
    assert "Conditions there: H100, 1 x 1024." in table.notes[1]
    assert "### Against published memory and speed" in write_report(run).read_text()
