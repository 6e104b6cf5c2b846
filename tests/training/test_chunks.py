"""Units that are pieces of tensors: how they are cut, and that each trains alone and right."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from lwft_bench.schema.base import Named
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.units import ChunkUnits
from lwft_bench.training.chunks import cut_rows
from lwft_bench.training.errors import Interrupted
from tests.training.small_cards import small_cards
from tests.training.tiny import Run, assert_same, full_fine_tuning, make_run, method, training

CONSTANT = {"warmup_steps": 0, "schedule": "constant", "dropout": False}
LR = 1e-2


def chunked(num_chunks: int, **options: Any) -> MethodConfig:
    return method("lift", strategy_period=1, units=ChunkUnits(chunks=num_chunks), **options)


def trained(folder: Path, card: MethodConfig, steps: int, **options: Any) -> Run:
    run = make_run(folder, card, training(steps, **(CONSTANT | options)))
    run.trainer.run()
    return run


def test_the_rule_of_cutting() -> None:
    """Two tensors of four slices, three chunks: the numbers of the published rule."""
    first, second = cut_rows([(96, 4), (96, 4)], 3)
    assert first == [(0, 3), (3, 4), (4, 4)]
    assert second == [(0, 0), (0, 1), (1, 4)]
    assert cut_rows([(10, 5), (90, 9)], 1) == [[(0, 5)], [(0, 9)]]
    # Half a row goes to the even number: cuts at 0.5, 1 and 1.5 rows.
    assert cut_rows([(4, 2), (4, 2)], 8)[0][:3] == [(0, 0), (0, 1), (1, 2)]


@pytest.mark.parametrize("num_chunks", [3, 7])
def test_chunks_are_a_partition_of_about_equal_bytes(tmp_path: Path, num_chunks: int) -> None:
    run = make_run(tmp_path, chunked(num_chunks), training(1))
    groups = run.assembly.groups
    marks = {name: torch.zeros(p.shape) for name, p in run.model.named_parameters()}
    for group in groups.units:
        for name, rows in zip(group.parameters, group.row_slices, strict=True):
            marks[name][rows or slice(None)] += 1
    assert all((mark == 1).all() for mark in marks.values())
    assert groups.frozen == {} and groups.always == ()
    widest_row = max(p[0].numel() for p in run.model.parameters() if p.dim() > 1)
    total = sum(p.numel() for p in run.model.parameters())
    for unit in groups.seen_by_strategy():
        assert abs(unit.num_parameters - total / num_chunks) <= widest_row
    assert [unit.kind for unit in groups.seen_by_strategy()] == ["chunk"] * num_chunks
    assert any(group.rows for group in groups.units), "some tensor is in two chunks"


def test_one_chunk_is_full_fine_tuning(tmp_path: Path) -> None:
    full = trained(tmp_path / "a", full_fine_tuning(), 20)
    assert_same(trained(tmp_path / "b", chunked(1), 20).weights(), full.weights())


@pytest.mark.parametrize("update", ["in_backward", "after_backward"])
def test_a_step_is_that_of_the_whole_on_the_active_rows(tmp_path: Path, update: str) -> None:
    """All chunks selected at once share tensors, and are the whole; one alone is its rows of it."""
    sgd = {"optimizer": Named(name="sgd")}
    full = trained(tmp_path / "full", full_fine_tuning(**sgd), 1).weights()
    everything = method("all", units=ChunkUnits(chunks=5), **sgd)
    whole = trained(tmp_path / "whole", everything, 1, update=update).weights()
    run = trained(tmp_path / "one", chunked(5, **sgd), 1, update=update)
    one, group = run.weights(), run.assembly.groups.units[0]
    before = make_run(tmp_path / "before", everything, training(1)).weights()
    active = {n: torch.zeros(p.shape, dtype=torch.bool) for n, p in one.items()}
    for name, rows in zip(group.parameters, group.row_slices, strict=True):
        active[name][rows or slice(None)] = True
    for name, weight in full.items():
        assert torch.allclose(whole[name], weight, rtol=0, atol=1e-9)
        expected = torch.where(active[name], weight, before[name])
        assert torch.allclose(one[name], expected, rtol=0, atol=1e-9)
        assert torch.equal(one[name][~active[name]], before[name][~active[name]])


@pytest.mark.parametrize(("counter", "size"), [("unit", 1.0), ("tensor", 0.744)])
def test_each_piece_of_a_tensor_counts_its_own_updates(
    tmp_path: Path, counter: str, size: float
) -> None:
    """Its first update is of size lr; with a counter for the tensor the second's is 0.744 lr."""
    card = chunked(3, step_counter=counter)
    states = [trained(tmp_path / str(n), card, n).weights() for n in (1, 2)]
    run = make_run(tmp_path / "x", card, training(1))
    (shared,) = set(run.assembly.groups.units[0].rows) & set(run.assembly.groups.units[1].rows)
    rows = run.assembly.groups.units[1].rows[shared]
    moved = (states[1][shared] - states[0][shared])[rows].abs()
    assert moved.median().item() == pytest.approx(size * LR, rel=1e-3)


def test_the_rate_of_a_sweep(tmp_path: Path) -> None:
    card = chunked(4, lr_clock="sweep")
    config = training(100, lr=LR, warmup_steps=0, schedule="linear", batch_size=1)
    run = make_run(tmp_path, card, config)
    run.trainer.run()
    rates = [row.lr / LR for row in run.trainer.trace.steps]
    assert rates[-4:] == pytest.approx([1 - 24 / 25] * 4)
    assert all(a >= b for a, b in pairwise(rates))


@pytest.mark.parametrize(
    ("period", "advances"),
    [(1, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]), (2, [0, 1, 1, 1, 1, 1, 1, 1, 2, 3])],
)
def test_the_published_clock(tmp_path: Path, period: int, advances: list[int]) -> None:
    """By I = 1 and 2 for K = 4; a run that was stopped goes on with it."""
    card = chunked(4, lr_clock="first_of_sweep").model_copy(
        update={"strategy": Named(name="lift", period=period)}
    )
    config = training(100, lr=LR, warmup_steps=0, schedule="linear", batch_size=1)
    with pytest.raises(Interrupted):
        make_run(tmp_path, card, config, stop_when=lambda n: n == 6).trainer.run()
    run = make_run(tmp_path, card, config)
    run.trainer.run()
    rates = [row.lr / LR for row in run.trainer.trace.steps]
    assert rates[:10] == pytest.approx([1 - number / 100 for number in advances])
    if period == 1:
        assert rates[-1] == pytest.approx(1 - 24 / 100), "the schedule's first quarter"


@pytest.mark.parametrize("precision", ["bf16-stochastic", "bf16-master"])
def test_where_state_lives_changes_no_number(tmp_path: Path, precision: str) -> None:
    card = small_cards()["chunkft"]
    resident = trained(
        tmp_path / "a", card.model_copy(update={"state_on_device": "all"}), 7, precision=precision
    )
    offloaded = trained(tmp_path / "b", card, 7, precision=precision, update="in_backward")
    assert_same(resident.weights(), offloaded.weights())
    assert offloaded.assembly.store.host_bytes > 0


def test_clipping_looks_at_the_active_rows_alone(tmp_path: Path) -> None:
    clip = {"clip": {"mode": "global", "max_norm": 1e-3}}
    sgd = {"optimizer": Named(name="sgd")}
    before = make_run(tmp_path / "a", chunked(3, **sgd), training(1)).weights()
    after = trained(tmp_path / "b", chunked(3, **sgd), 1, **clip).weights()
    moved = sum(float((after[n] - before[n]).double().square().sum()) for n in before) ** 0.5
    assert moved == pytest.approx(LR * 1e-3, rel=1e-3)


def test_more_chunks_than_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no row of any parameter"):
        make_run(tmp_path, chunked(10_000), training(1))
