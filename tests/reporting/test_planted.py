"""Planted layers: shares of draws, beside those of the undamaged model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lwft_bench.reporting.numbers.planted import planted_cells
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.report import write_report
from lwft_bench.reporting.tables_over_runs import print_table

if TYPE_CHECKING:
    from conftest import RunMaker

SCORES = [1.0, 2, 3, 4, 5, 6, 7, 8]


def add(
    maker: RunMaker, seed: int, drawn: list[list[int]], layers: tuple[int, ...], **more: Any
) -> None:
    model = f"planted-{'-'.join(map(str, layers))}" if layers else "tiny"
    cell = maker.add(maker.method("drawn", 0.5, num_active=2), seed, model=model)
    config = json.loads((cell / "config.json").read_text())
    config["model"] |= {"path": "tiny", "reinitialise": layers}
    (cell / "config.json").write_text(json.dumps(config))
    header, *_ = (cell / "selections.jsonl").read_text().splitlines()
    rows = [
        {"step": step, "num_steps": 1, "units": units, "scores": SCORES}
        | {"probabilities": more.get("shares")}
        for step, units in enumerate(drawn)
    ]
    _write(cell / "selections.jsonl", [header, *map(json.dumps, rows)])


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


def test_shares_of_draws(maker: RunMaker) -> None:
    add(maker, 0, [[0, 1], [2, 3]], ())
    add(maker, 0, [[0, 7], [2, 7]], (7,))
    add(maker, 1, [[0, 7], [2, 3]], (7,))
    add(maker, 0, [[0, 1], [1, 2]], (2,))
    found = planted_cells(read_run(maker.finish()))["drawn", "drawn anew"]
    by_cell = {(one.layers, one.cell.seed): one for one in found}
    assert by_cell.keys() == {((7,), 0), ((7,), 1), ((2,), 0)}
    assert [by_cell[key].share for key in by_cell] == [0.5, 0.25, 0.25]
    assert {one.uniform for one in found} == {1 / 8}
    assert by_cell[(7,), 0].undamaged == 0.0
    assert by_cell[(7,), 1].undamaged is None  # that seed has no undamaged cell
    assert by_cell[(2,), 0].undamaged == 0.25
    assert [one.ranked_first for one in found] == [True, True, False]


def test_the_report_has_a_table_and_a_figure(maker: RunMaker) -> None:
    for seed in (0, 1):
        add(maker, seed, [[0, 7], [2, 7 - seed]], (7,))
        add(maker, seed, [[0, 1], [2, 3]], ())
    run = maker.finish()
    text = write_report(run).read_text()
    assert "## Planted layer" in text
    assert "figures/planted.png" in text
    table = print_table(run, "markdown", "planted")
    (row,) = [line for line in table.splitlines() if line.startswith("| drawn")]
    shares = "37.5 ± 12.5 % | – | 12.5 % | 0.0 ± 0.0 % | – "
    moved = "+37.5 [−121.3, +196.3] "
    assert row == f"| drawn | drawn anew | 2 | {shares}| {moved}| 2 of 2 | 2.40 → 0.700 ± 0 |"
    assert len(print_table(run, "csv", "planted").splitlines()) == 3


def test_a_damage_and_a_placebo_are_rows_of_their_own(maker: RunMaker) -> None:
    add(maker, 0, [[0, 1], [2, 3]], ())
    for layer, change in ((7, "gain"), (6, "rescale")):
        add(maker, 0, [[0, layer], [2, 3]], (layer,))
        config = maker.folder / "cells" / f"planted-{layer}--drawn--arith--seed0" / "config.json"
        values = json.loads(config.read_text())
        values["model"] |= {"reinitialise": [], change: {"layer": layer, "factor": 4}}
        config.write_text(json.dumps(values))
    found = planted_cells(read_run(maker.finish()))
    assert {change: cells[0].moved for (_, change), cells in found.items()} == {
        "gain × 4": 0.25,
        "rescaled by 4": 0.25,
    }


def test_what_is_expected_is_free_of_the_chance_of_drawing(maker: RunMaker) -> None:
    for layers, shares in (((), [1 / 8] * 8), ((7,), [0.1] * 7 + [0.3])):
        add(maker, 0, [[0, 1], [2, 3]], layers, shares=shares)
    (one,) = planted_cells(read_run(maker.finish()))["drawn", "drawn anew"]
    assert (one.share, one.undamaged) == (0, 0)
    assert one.expected_undamaged == pytest.approx(1 / 8)
    assert one.expected == pytest.approx((0.3 + 0.7 * 0.3 / 0.9) / 2)


def test_other_runs_have_no_such_section(run: Path) -> None:
    assert not planted_cells(read_run(run))


def test_several_planted_layers_count_together(maker: RunMaker) -> None:
    add(maker, 0, [[0, 7], [2, 3]], (0, 7))
    (one,) = planted_cells(read_run(maker.finish()))["drawn", "drawn anew"]
    assert (one.share, one.uniform) == (0.5, 0.25)
