"""BlockLLM by both rules, against their numbers."""

from __future__ import annotations

import numpy as np
import pytest

from lwft_bench.strategies.base import Context, Selection, Unit, Window
from lwft_bench.strategies.blockllm import BlockLLM

LLAMA2_LAYER = [4096**2] * 4 + [4096 * 11008] * 3 + [4096] * 2


def blockllm(sizes: list[int], total: int = 0, seed: int = 0, **options) -> BlockLLM:
    units = [Unit(index, "tensor", index, size) for index, size in enumerate(sizes)]
    strategy = BlockLLM(BlockLLM.Options(**options))
    rng = np.random.default_rng(seed)
    strategy.start(Context(units, 10_000, 1000, rng, total_parameters=total))
    return strategy


def see(strategy: BlockLLM, loss: float, norms: dict[int, float], *, probing: bool = False) -> None:
    """A window of one step; norms by unit."""
    sizes = [unit.num_parameters for unit in strategy.context.units]
    table = np.full((1, len(sizes)), np.nan)
    for unit, norm in norms.items():
        table[0, unit] = norm / np.sqrt(sizes[unit])
    strategy.observe(Window(0, table, np.array([loss]), probing))


def go(strategy: BlockLLM, losses: list[float], start: int = 0) -> list[Selection]:
    """A period of one step for each loss; all selected and observed units have norm 1."""
    selections = []
    for step, loss in enumerate(losses, start):
        selection = strategy.select(step)
        selections.append(selection)
        see(strategy, loss, dict.fromkeys((*selection.units, *selection.observe), 1.0))
    return selections


class TestPaper:
    def started(self, sizes: list[int], norms: list[float], **options) -> BlockLLM:
        strategy = blockllm(sizes, **({"period": 1, "patience": 3} | options))
        see(strategy, 9.0, dict(enumerate(norms)), probing=True)
        return strategy

    def test_when_the_loss_stalls(self):
        """Losses 5, 4, 3, 3.2, 3.6 with m = 3: no selection at the fourth, one at the fifth."""
        strategy = self.started([1] * 4, [4.0, 3.0, 2.0, 1.0], sparsity=0.5)
        selections = go(strategy, [5.0, 4.0, 3.0, 3.2, 3.6])
        assert [s.units for s in selections] == [(0, 1)] * 5
        assert [s.restart for s in selections] == [None, False, False, False, False]
        measuring = strategy.select(5)
        assert (measuring.units, measuring.observe, measuring.num_steps) == ((0, 1), (2, 3), 1)
        see(strategy, 3.0, {0: 1.0, 1: 3.0, 2: 2.0, 3: 9.0})
        anew = strategy.select(6)
        assert sorted(anew.units) == [1, 3]
        assert anew.restart is None, "as the card says: all state begins anew"
        falling = go(strategy, [2.9, 2.8, 2.7, 2.6, 2.5], start=7)
        assert {s.observe for s in falling} == {()}

    def test_visits_count(self):
        """Of two tensors of equal norm, visited once and thrice, the first is preferred 3 : 1."""
        strategy = self.started([1] * 2, [1.0, 1.0])
        strategy._visits[:] = [1, 3]
        assert strategy.scores[0] / strategy.scores[1] == pytest.approx(3)

    @pytest.mark.parametrize("sparsity", [0.95, 0.9, 0.5])
    def test_the_share_is_reached_by_less_than_a_tensor(self, sparsity: float):
        sizes = LLAMA2_LAYER * 4
        total = int(sum(sizes) * 1.1)
        norms = np.random.default_rng(1).lognormal(size=len(sizes))
        strategy = self.started(sizes, norms.tolist(), sparsity=sparsity, total=total)
        units = strategy.select(0).units
        trained = [sizes[unit] for unit in units]
        assert (1 - sparsity) * total <= sum(trained)
        assert sum(trained[:-1]) < (1 - sparsity) * total
        assert [norms[unit] for unit in units] == sorted(norms, reverse=True)[: len(units)]


class TestPackage:
    def test_the_first_selection_is_a_random_tenth_of_the_tensors(self):
        sizes = LLAMA2_LAYER * 32 + [4096]
        first = [blockllm(sizes, seed=seed, rule="package").select(0).units for seed in range(3)]
        assert {len(units) for units in first} == {28}, "of 289"
        assert len(set(first)) == 3

    def package(self) -> BlockLLM:
        return blockllm([4, 1, 1, 1, 1, 1], rule="package", sparsity=0.4, patience=100)

    def run(self, losses: np.ndarray) -> list[tuple[int, tuple[int, ...]]]:
        """Steps at which a selection changed, and what was selected."""
        strategy, step, changes = self.package(), 0, []
        while step < len(losses):
            selection = strategy.select(step)
            if selection.restart is None:
                changes.append((step, selection.units))
            end = step + selection.num_steps
            table = np.full((selection.num_steps, 6), np.nan)
            table[:, [*selection.units, *selection.observe]] = 1.0
            strategy.observe(Window(step, table, losses[step:end]))
            step = end
        return changes

    def test_a_falling_loss_never_changes_it(self):
        assert [step for step, _ in self.run(np.linspace(5, 1, 4000))] == [0]

    def test_a_rising_one_does_at_multiples_of_a_thousand(self):
        changes = self.run(np.linspace(1, 5, 4000))
        assert [step for step, _ in changes] == [0, 1000, 2000, 3000]
        for _, units in changes[1:]:
            assert sum(4 if unit == 0 else 1 for unit in units) < 5, "below the share"

    def test_visits_hardly_count(self):
        strategy = self.package()
        strategy._visits[:] = [1, 3, 0, 0, 0, 0]
        strategy._norms[:2] = 1.0
        scores = strategy.scores_by_package(1000)
        assert 1 < scores[0] / scores[1] < 1 + 1e-3
        assert np.isnan(scores[2:]).all()

    def test_one_other_unit_is_measured_for_twenty_steps(self):
        strategy = self.package()
        selection = strategy.select(0)
        assert (len(selection.observe), selection.num_steps) == (1, 20)
        assert not set(selection.observe) & set(selection.units)
