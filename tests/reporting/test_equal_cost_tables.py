"""Methods at equal operations and equal memory, against runs whose numbers are plain."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from built import comparison_tables

from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.render.table import Table

if TYPE_CHECKING:
    from conftest import RunMaker

STEPS = 20

REST = {"lr": 0.1, "tokens": 9, "target_tokens": 4, "seconds": 0.1, "timed": True, "period": 0}
"""Of a step, what these tables do not look at."""


def add(
    maker: RunMaker,
    name: str,
    flops_per_step: float,
    *,
    seed: int = 0,
    validate_every: int = 5,
    probing: int = 0,
    **row: Any,
) -> None:
    """A cell of 20 steps whose validation loss after n steps is 1 / n."""
    folder = maker.add(maker.method(name, 0.5, **row), seed)
    rows: list[dict[str, Any]] = []
    for step in range(-probing, STEPS):
        rows.append({"step": step, "loss": 1.0, "flops": flops_per_step, **REST})
        if step >= 0 and validate_every and (step + 1) % validate_every == 0:
            rows[-1]["validation_loss"] = 1 / (step + 1)
    (folder / "steps.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    result = json.loads((folder / "result.json").read_text())
    total = int(flops_per_step * (STEPS + probing))
    result["training"] |= {"flops": total, "validation_loss_after": 1 / STEPS}
    (folder / "result.json").write_text(json.dumps(result))


def tables(maker: RunMaker) -> dict[str, Table]:
    records = read_run(maker.finish())
    (comparison,) = compare(records)
    return comparison_tables(records, comparison)


def test_the_last_loss_within_the_operations_of_the_cheapest(maker: RunMaker) -> None:
    add(maker, "fft", 1000)
    add(maker, "lisa", 700)
    add(maker, "grass", 700, probing=4)
    values = tables(maker)["equal_flops"].values.set_index("method")
    assert values["flops_budget"].tolist() == [14_000] * 3
    assert values["step"].tolist() == [10, 20, 15]  # fft: 14 steps are paid for, 10 validated
    assert values["validation_loss_within_budget"].tolist() == pytest.approx(
        [1 / 10, 1 / 20, 1 / 15]
    )
    assert values["flops_spent"].tolist() == [10_000, 14_000, 13_300]
    assert values["validation_loss"].tolist() == pytest.approx([1 / 20] * 3)
    shown = tables(maker)["equal_flops"].display.set_index("method")
    assert shown["spent by then"].tolist() == ["71 %", "100 %", "95 %"]


def test_what_is_missing_names_the_setting_that_gives_it(maker: RunMaker) -> None:
    add(maker, "fft", 1000, validate_every=0)
    add(maker, "lisa", 500)
    table = tables(maker)["equal_flops"]
    assert table.display.set_index("method").loc["fft", "at equal FLOP"] == "–"
    assert (
        "fft: no validation loss within the budget, which is 10 steps of it; "
        "training.validate_every of at most 10 gives one." in table.notes
    )


def test_runs_without_operations_of_single_steps_say_so(maker: RunMaker) -> None:
    add(maker, "lisa", 500)
    maker.add(maker.method("fft", 0.5), 0)
    notes = tables(maker)["equal_flops"].notes
    assert "fft: the operations of single steps are not recorded; run it again." in notes


def test_seeds_that_one_method_lacks_are_left_out(maker: RunMaker) -> None:
    for seed in (0, 1):
        add(maker, "fft", 1000, seed=seed)
    add(maker, "lisa", 500, seed=1)
    table = tables(maker)["equal_flops"]
    assert table.values["seed"].tolist() == [1, 1]
    assert "Seeds that not every method has are left out: [0]." in table.notes


def test_equal_costs_need_no_table(maker: RunMaker) -> None:
    for name in ("fft", "lisa"):
        add(maker, name, 1000)
    assert not {"equal_flops", "equal_memory"}.intersection(tables(maker))


def test_the_best_within_each_methods_memory(maker: RunMaker) -> None:
    add(maker, "fft", 1000, peak_bytes=50 * 2**20)
    add(maker, "lisa", 1000, peak_bytes=20 * 2**20)
    for cell, loss in (("fft", 0.3), ("lisa", 0.4)):
        path = maker.folder / "cells" / f"tiny--{cell}--arith--seed0" / "result.json"
        result = json.loads(path.read_text())
        result["training"]["validation_loss_after"] = loss
        path.write_text(json.dumps(result))
    values = tables(maker)["equal_memory"].values.set_index("budget_of")
    assert values["methods"].to_dict() == {"lisa": "lisa", "fft": "lisa, fft"}
    assert values["lowest_validation_loss_of"].to_dict() == {"lisa": "lisa", "fft": "fft"}
    assert values.loc["lisa", "budget_bytes"] == 20 * 2**20


def test_operations_that_are_not_exact_are_told(maker: RunMaker) -> None:
    for name, deviation, uncounted in [
        ("fft", 0.0, []),
        ("lisa", 0.0623, []),
        ("grass", 0.5, ["x"]),
    ]:
        add(maker, name, 1000)
        (path,) = maker.folder.glob(f"cells/*{name}*/result.json")
        result = json.loads(path.read_text())
        purposes = ("useful", "padding", "recomputation", "updates", "probing", "measuring")
        counted = dict.fromkeys(purposes, 0) | {"deviation": deviation, "uncounted": uncounted}
        result["training"]["operations"] = counted
        path.write_text(json.dumps(result))
    notes = tables(maker)["training"].notes
    assert any(note.startswith("FLOP of lisa and grass: up to 50 % off") for note in notes)
    assert "FLOP of grass: too few, no formula is known for x." in notes
