"""Speeds timed by turns in a report: what they say, what they refuse to say, and what is missing."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from lwft_bench.reporting.claims_of_runs import judge_claims
from lwft_bench.reporting.numbers.merging import merged
from lwft_bench.reporting.numbers.timing import Interval
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.render.table import Table
from lwft_bench.reporting.report import print_timing, write_report
from lwft_bench.reporting.tables.claims import would_take
from lwft_bench.reporting.tables_over_runs import RunsRead, preset
from lwft_bench.results.timing import TIMING, read_timing, write_timing
from lwft_bench.schema.load import Load
from lwft_bench.schema.run import trained_as
from lwft_bench.schema.timing import TimedCell, TimedSet, TimingRow
from tests.reporting.built import comparison_tables
from tests.reporting.conftest import RunMaker, Synthetic, _components

PAIRS, STEPS = 8, 2
SECONDS = {"fft": 0.20, "lisa": 0.13, "lora": 0.199}
"""lora's is within the noise of fft's."""
QUIET = Load(
    wall_seconds=9.0,
    processor_seconds=8.9,
    waiting_seconds=0.0,
    involuntary_switches=0,
    cores=2,
)
BUSY = QUIET.model_copy(update={"waiting_seconds": 8.9})


def rows_of(cell: str, method: str, turn: int) -> list[TimingRow]:
    """Each pair is as slow for all as it is; lisa's second step of a turn is a high selection."""
    rng = np.random.default_rng(turn)
    drift = np.random.default_rng(9).lognormal(sigma=0.5, size=PAIRS)
    return [
        TimingRow(
            cell=cell,
            pair=pair,
            turn=turn,
            step=step,
            lowest=6 * step if method == "lisa" else 0,
            num_units=2,
            seconds=SECONDS[method]
            * drift[pair]
            * rng.lognormal(sigma=0.02)
            * (1.0 if method != "lisa" else (1.3 if step == 0 else 0.7)),
            processor_seconds=SECONDS[method],
            tokens=300,
            target_tokens=100,
            padded_tokens=400,
        )
        for pair in range(PAIRS)
        for step in range(STEPS)
    ]


def timed_run(maker: RunMaker, load: Load = QUIET, **problem: str) -> Path:
    methods = {name: Synthetic(name, 0.5) for name in SECONDS}
    for method in methods.values():
        for seed in (0, 1):
            maker.add(method, seed)
    folder = maker.finish()
    cells = {name: maker.cell(method, 0) for name, method in methods.items()}
    timed = TimedSet(
        model="tiny",
        task="arith",
        cells=tuple(
            TimedCell(
                cell=cell.id,
                method=name,
                digest=trained_as(_components(cell)),
                selections="recorded",
            )
            for name, cell in cells.items()
        ),
        device="Made-up CPU",
        threads=1,
        load=load,
        **problem,
    )
    rows = [row for i, (name, c) in enumerate(cells.items()) for row in rows_of(c.id, name, i)]
    write_timing(folder, (PAIRS, STEPS), [timed], [] if problem else rows)
    return folder


def tables_of(folder: Path) -> dict[str, Table]:
    records = read_run(folder)
    from lwft_bench.reporting.numbers.context import Context

    return comparison_tables(records, Context.of(records).comparisons[0])


def test_an_interval_is_student_s_of_the_logarithms() -> None:
    logs = np.log([1.1, 1.2, 1.3])
    found = Interval.over(logs)
    margin = 4.302653 * logs.std(ddof=1) / math.sqrt(3)
    assert found.mean == pytest.approx(math.exp(logs.mean()))
    assert found.low == pytest.approx(math.exp(logs.mean() - margin), rel=1e-6)
    assert found.high == pytest.approx(math.exp(logs.mean() + margin), rel=1e-6)
    assert Interval.over(logs[:1]).low is None


def test_the_main_table_s_throughput_is_that_by_turns_and_the_cells_own_stays(
    maker: RunMaker,
) -> None:
    main = tables_of(timed_run(maker))["main"]
    heads = list(main.display)
    assert [head for head in heads if "tokens/s" in head] == [
        "tokens/s, by turns",
        "tokens/s, own cells",
    ]
    shown = main.display.set_index("method")["speed ÷ fft [95 %]"]
    assert shown["fft"] == "baseline"
    values = main.values.set_index("method")
    assert values.loc["lisa", "speed_ratio"] == pytest.approx(0.20 / 0.13, rel=0.05)
    own = values["target_tokens_per_second"]
    assert own["fft"] == pytest.approx(6000, rel=0.1)  # as in the cells' results


def test_drift_that_all_share_does_not_widen_the_ratio(maker: RunMaker) -> None:
    """The speeds themselves vary by half between pairs; unpaired nothing could be told of them."""
    timing = tables_of(timed_run(maker))["timing"].values.set_index("method")
    low, high = timing.loc["lisa", ["speed_ratio_low", "speed_ratio_high"]]
    assert 1.4 < low < 0.20 / 0.13 < high < 1.7


@pytest.mark.parametrize(
    ("of", "bound", "verdict"),
    [
        ("lisa", {"above": 1.4}, "supported"),
        ("lisa", {"below": 1.4}, "contradicted"),
        ("lora", {"above": 1}, "undecided"),
    ],
)
def test_a_claim_is_judged_by_rounds(
    maker: RunMaker, tmp_path: Path, of: str, bound: dict[str, float], verdict: str
) -> None:
    claim = {"name": "c", "says": "so", "kind": "throughput_ratio", "of": of, "against": "fft"}
    file = tmp_path / "claims.yaml"
    file.write_text(json.dumps({"claims": [claim | bound]}))
    (found,) = judge_claims([timed_run(maker)], str(file)).assessed
    assert found.verdict == verdict
    assert found.noisy is not None
    assert found.noisy[0].estimate.num_seeds == PAIRS
    if verdict == "undecided":
        assert "pairs" in would_take(found)


def test_a_table_for_papers_has_the_speed_by_turns_and_its_ratio(maker: RunMaker) -> None:
    (grid,) = RunsRead.read([timed_run(maker, BUSY)]).grids(preset("efficiency"))
    values = grid.values.set_index("method")
    assert values.loc["lisa", "speed_ratio"] == pytest.approx(0.20 / 0.13, rel=0.05)
    assert values["throughput_by_turns_marked"].to_dict() == {
        "fft": False,
        "lisa": True,
        "lora": False,
    }
    assert any(f"{PAIRS} rounds" in note for note in grid.notes)
    assert any("the machine had other work" in note for note in grid.notes)


def test_runs_that_come_together_keep_what_each_has_timed(maker: RunMaker, tmp_path: Path) -> None:
    """A second run of other cells, and one of the same ones, whose rounds are of another process."""
    folder = timed_run(maker)
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    alone = read_run(folder)
    for runs in ([alone, read_run(again)], [alone, read_run(again), alone]):
        timing = merged(runs).timing
        assert timing.sets == alone.timing.sets
        assert timing.rows == alone.timing.rows
    (again / TIMING).unlink()
    assert merged([read_run(again), alone]).timing.rows == alone.timing.rows


def test_methods_whose_interval_has_one_in_it_are_not_ranked(maker: RunMaker) -> None:
    folder = timed_run(maker)
    timing = tables_of(folder)["timing"].values.set_index("method")
    assert timing["not_separable"].dropna().to_dict() == {"fft": "lora", "lora": "fft"}
    write_report(folder)
    report = (folder / "report.md").read_text()
    assert "Faster than fft (ratio [95 %]): lisa 1.5" in report
    assert "Neither faster nor slower than fft (ratio [95 %]): lora" in report


def test_depths_of_layer_wise_methods_are_told_apart(maker: RunMaker) -> None:
    timing = tables_of(timed_run(maker))["timing"].display.set_index("method")
    column = timing["s a step by lowest unit"]
    assert column["lisa"].startswith("0: ") and ", 6: " in column["lisa"]
    assert column["fft"] == "–"


def test_contention_is_marked_and_told(maker: RunMaker) -> None:
    folder = timed_run(maker, BUSY)
    main = tables_of(folder)["main"].display.set_index("method")
    assert main["tokens/s, by turns"]["fft"].endswith("‡")
    write_report(folder)
    assert "waited for a processor 50 % of the time" in (folder / "report.md").read_text()


def test_cells_trained_under_contention_are_not_ranked_by_their_own_speeds(maker: RunMaker) -> None:
    for name in ("fft", "lisa"):
        folder = maker.add(Synthetic(name, 0.5), 0)
        path = folder / "result.json"
        result = json.loads(path.read_text())
        result["throughput"]["load"] = (BUSY if name == "lisa" else QUIET).model_dump(mode="json")
        path.write_text(json.dumps(result))
    write_report(maker.finish())
    report = (maker.folder / "report.md").read_text()
    assert "Speeds of lisa were taken under contention: no order of methods" in report
    shown = tables_of(maker.folder)["main"].display.set_index("method")["tokens/s"]
    assert shown["lisa"].endswith("‡") and not shown["fft"].endswith("‡")


def test_a_method_that_is_no_longer_what_was_timed_is_left_out(maker: RunMaker) -> None:
    folder = timed_run(maker)
    header, rows = read_timing(folder)
    assert header is not None
    (timed,) = header.sets
    other = timed.cells[1].model_copy(update={"digest": "0" * 64})
    changed = timed.model_copy(update={"cells": (timed.cells[0], other, timed.cells[2])})
    write_timing(folder, (PAIRS, STEPS), [changed], rows)
    timing = tables_of(folder)["timing"]
    assert set(timing.values["method"]) == {"fft", "lora"}
    assert "left out: lisa" in timing.notes[-1]


def test_what_could_not_be_timed_or_read_is_a_warning(maker: RunMaker) -> None:
    folder = timed_run(maker, problem="no room")
    assert "not timed against each other: no room" in read_run(folder).warnings[-1]
    assert "timing" not in tables_of(folder)
    (folder / TIMING).write_text('{"pairs": 1}\n')
    assert "could not be read" in read_run(folder).warnings[-1]


def test_a_directory_that_is_no_run_has_the_table_too(maker: RunMaker, tmp_path: Path) -> None:
    folder = timed_run(maker)
    (tmp_path / TIMING).write_bytes((folder / TIMING).read_bytes())
    text = print_timing(tmp_path, "fft")
    assert "| lisa |" in text and "baseline" in text


def test_a_report_without_timing_has_no_word_of_it(run: Path) -> None:
    tables = tables_of(run)
    assert "timing" not in tables
    assert not [head for head in tables["main"].display if "turns" in head or "own" in head]
