"""Each test of the newer methods' faithfulness fails when the rule that it is about is another one.

`python -m pytest tests/strategies/test_newer_mutants.py -m slow`. A mutant is one piece of source
replaced; which test sees it stands beside it.
"""

from __future__ import annotations
import __future__

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from lwft_bench.optimizers.stateless import Sign, Stateless
from lwft_bench.schema.errors import UserError
from lwft_bench.state.store import StateStore
from lwft_bench.strategies.absignsgd import DepthBiased
from lwft_bench.strategies.blockllm import BlockLLM
from lwft_bench.strategies.frugal import Frugal
from lwft_bench.strategies.misa import Misa
from lwft_bench.training import active_groups, groups, restarts, trainer
from lwft_bench.training.resumption import Place
from lwft_bench.training.step import TrainingStep
from tests.strategies import test_absignsgd, test_blockllm, test_frugal, test_misa
from tests.training import test_chunks, test_newer_rules, test_observed, test_unselected

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Mutant:
    """section: of the rule. owner.name: what has the source, in which `old` becomes `new`."""

    section: str
    owner: Any
    name: str
    old: str
    new: str
    seen_by: Callable[[Path, Any], object]

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = inspect.getattr_static(self.owner, self.name)
        plain = getattr(found, "fget", None) or getattr(found, "__func__", found)
        source = textwrap.dedent(inspect.getsource(plain))
        assert source.count(self.old) >= 1, f"{self.name} has no {self.old!r} any more"
        changed = source.replace(self.old, self.new)
        if inspect.isclass(self.owner):
            changed = changed.replace("super()", f"super({self.owner.__name__}, self)")
        flags = __future__.annotations.compiler_flag
        names = dict(plain.__globals__)
        exec(compile(changed, f"<mutant {self.section}>", "exec", flags), names)
        monkeypatch.setattr(self.owner, self.name, names[plain.__name__])


LLAMA2 = test_misa.LLAMA2_7B
PAPER, PACKAGE = test_blockllm.TestPaper(), test_blockllm.TestPackage()
FRUGAL = test_unselected.TestFrugal()

MISA = [
    Mutant(
        "budget",
        Misa,
        "select",
        "self._sizes[unit] <= left",
        "left > 0",
        lambda tmp, make: test_misa.test_the_budget_is_never_exceeded(),
    ),
    Mutant(
        "the first selection",
        Misa,
        "_candidates",
        "yield from (int(unit) for unit in by_age if",
        "yield from (int(unit) for unit in by_age[::-1] if",
        lambda tmp, make: test_misa.test_the_first_selection_of_llama2_7b(),
    ),
    Mutant(
        "warm-up",
        Misa,
        "select",
        "1 if warming_up else period",
        "period",
        lambda tmp, make: test_misa.test_warm_up_draws_every_module_once_in_selections_of_one_step(
            LLAMA2, 35
        ),
    ),
    Mutant(
        "cap",
        Misa,
        "_exponents",
        "np.minimum(self.options.eta * squares, self.options.cap)",
        "self.options.eta * squares",
        lambda tmp, make: test_misa.test_weights_with_the_cap(),
    ),
    Mutant(
        "correct average",
        Misa,
        "importance",
        "self._average / (1 - self.options.beta**seen)",
        "self._average",
        lambda tmp, make: test_misa.test_the_average_of_a_constant_is_that_constant(),
    ),
    Mutant(
        "published average",
        Misa,
        "_take",
        "average / (1 - beta ** np.maximum(self._readings, 1))",
        "average",
        lambda tmp, make: test_misa.test_the_published_correction_compounds(),
    ),
    Mutant(
        "a draw goes on",
        Misa,
        "select",
        "            left -= self._sizes[unit]",
        "            left -= self._sizes[unit]\n        else:\n            break",
        lambda tmp, make: test_misa.test_a_draw_goes_on_after_a_module_that_does_not_fit(
            LLAMA2, 7.0, {0.035: range(4), 0.026: (4, 5, 6)}
        ),
    ),
    Mutant(
        "state of one drawn again, paper",
        restarts,
        "restarts",
        "return group.restarts",
        "return False",
        lambda tmp, make: _twice(tmp, "restart", (2, 2)),
    ),
    Mutant(
        "state of one that was away",
        trainer,
        "ending_groups",
        "group.unit not in units or",
        "False or",
        lambda tmp, make: _twice(tmp, "reset", (2, 6)),
    ),
]

CHUNKFT = [
    Mutant(
        "equal bytes",
        groups,
        "cut_rows",
        "start += num_bytes",
        "start += 0",
        lambda tmp, make: test_chunks.test_chunks_are_a_partition_of_about_equal_bytes(tmp, 3),
    ),
    Mutant(
        "one chunk",
        groups,
        "_chunks",
        "if adapter.trains(n)}",
        "if adapter.trains(n) and p.dim() > 1}",
        lambda tmp, make: test_chunks.test_one_chunk_is_full_fine_tuning(tmp),
    ),
    Mutant(
        "where it is cut",
        test_chunks,
        "cut_rows",
        "round(inside",
        "int(inside",
        lambda tmp, make: test_chunks.test_the_rule_of_cutting(),
    ),
    Mutant(
        "gradient of the active rows",
        groups,
        "_chunks",
        "name: slice(*cut)",
        "name: slice(cut[0], max(cut[0] + 1, cut[1] - 1))",
        lambda tmp, make: test_chunks.test_a_step_is_that_of_the_whole_on_the_active_rows(
            tmp, "after_backward"
        ),
    ),
    Mutant(
        "counter of each piece",
        StateStore,
        "update",
        "if self._counts_tensors else step",
        "if True else step",
        lambda tmp, make: test_chunks.test_each_piece_of_a_tensor_counts_its_own_updates(
            tmp, "unit", 1.0
        ),
    ),
    Mutant(
        "clock of a sweep",
        Place,
        "scheduled_step",
        '"sweep": self.sweep_start',
        '"sweep": self.at',
        lambda tmp, make: test_chunks.test_the_rate_of_a_sweep(tmp),
    ),
    Mutant(
        "published clock",
        Place,
        "tick",
        "self.at > 0 and",
        "",
        lambda tmp, make: test_chunks.test_the_published_clock(
            tmp, 2, [0, 1, 1, 1, 1, 1, 1, 1, 2, 3]
        ),
    ),
]

BLOCKLLM = [
    Mutant(
        "package, falling loss",
        BlockLLM,
        "_is_due_by_package",
        "float(np.mean(self._losses)) <",
        "float(np.mean(self._losses)) >",
        lambda tmp, make: PACKAGE.test_a_falling_loss_never_changes_it(),
    ),
    Mutant(
        "package, every thousand",
        BlockLLM,
        "_is_due_by_package",
        "step % PACKAGE_INTERVAL == 0",
        "True",
        lambda tmp, make: PACKAGE.test_a_rising_one_does_at_multiples_of_a_thousand(),
    ),
    Mutant(
        "package, share",
        BlockLLM,
        "_best_by_package",
        "(sums < limit).sum()",
        "(sums < limit).sum() + 1",
        lambda tmp, make: PACKAGE.test_a_rising_one_does_at_multiples_of_a_thousand(),
    ),
    Mutant(
        "when the loss stalls",
        BlockLLM,
        "stalls",
        "float(np.mean(losses[-patience:]))",
        "losses[-2]",
        lambda tmp, make: PAPER.test_when_the_loss_stalls(),
    ),
    Mutant(
        "paper, share",
        BlockLLM,
        "_best",
        "order[before < wanted]",
        "order[before + self._sizes[order] <= wanted]",
        lambda tmp, make: [
            PAPER.test_the_share_is_reached_by_less_than_a_tensor(sparsity)
            for sparsity in (0.95, 0.9, 0.5)
        ],
    ),
    Mutant(
        "paper, visits",
        BlockLLM,
        "scores",
        "np.maximum(self._visits, 1)",
        "1",
        lambda tmp, make: PAPER.test_visits_count(),
    ),
    Mutant(
        "package, visits",
        BlockLLM,
        "scores_by_package",
        "np.exp(frequency / step)",
        "np.exp(frequency)",
        lambda tmp, make: PACKAGE.test_visits_hardly_count(),
    ),
    Mutant(
        "a new selection begins anew",
        BlockLLM,
        "_take_anew",
        "observe=observe)",
        "observe=observe, restart=False)",
        lambda tmp, make: PAPER.test_when_the_loss_stalls(),
    ),
    Mutant(
        "counters after it",
        restarts,
        "restarts",
        "return group.restarts",
        "return False",
        lambda tmp, make: test_observed.test_a_selection_says_whether_state_begins_anew(
            tmp, None, 2
        ),
    ),
    Mutant(
        "a reading of what is observed",
        trainer,
        "active_groups",
        "[groups.units[unit] for unit in observed]",
        "[]",
        lambda tmp, make: test_observed.test_an_observed_unit_is_measured_and_keeps_its_bits(tmp),
    ),
    Mutant(
        "bits of what is observed",
        TrainingStep,
        "_take_piece",
        "        self._let_go(parameter)",
        "        parameter.data.sub_(parameter.grad)\n        self._let_go(parameter)",
        lambda tmp, make: test_observed.test_an_observed_unit_is_measured_and_keeps_its_bits(tmp),
    ),
]

BREAD = [
    Mutant(
        "which layers",
        active_groups,
        "moved_groups",
        "group.depth > lowest",
        "True",
        lambda tmp, make: test_unselected.test_which_layers_move_in_a_step(tmp, "deeper"),
    ),
    Mutant(
        "what it costs",
        active_groups,
        "moved_groups",
        "group.depth > lowest",
        "True",
        lambda tmp, make: test_newer_rules.test_what_the_expansion_costs(),
    ),
    Mutant(
        "one step of the gradient",
        StateStore,
        "move",
        "lr * scale",
        "lr",
        lambda tmp, make: test_unselected.test_an_inactive_weight_takes_one_gradient_step(
            tmp, "llama", None
        ),
    ),
    Mutant(
        "once, whatever the micro-batches",
        TrainingStep,
        "_on_gradient",
        "if self._last_micro_batch:",
        "if True:",
        lambda tmp, make: test_unselected.test_an_inactive_weight_takes_one_gradient_step(
            tmp, "llama", 2
        ),
    ),
    Mutant(
        "rate after a selection",
        trainer,
        "next_rate",
        "return rate * since / num_steps if since < num_steps else rate",
        "return rate",
        lambda tmp, make: test_unselected.test_a_rate_that_rises_after_each_selection(tmp),
    ),
]

ABSIGNSGD = [
    Mutant(
        "costs",
        DepthBiased,
        "start",
        "(num_units - index)",
        "(index + 1)",
        lambda tmp, make: test_absignsgd.test_the_first_layers_of_small_and_large_models(make),
    ),
    Mutant(
        "clocks",
        DepthBiased,
        "select",
        "+= self._costs[unit]",
        "+= self._costs[0]",
        lambda tmp, make: test_absignsgd.test_how_often_each_layer_trains(make),
    ),
    Mutant(
        "nothing is drawn",
        DepthBiased,
        "select",
        "unit = self._clocks.index(min(self._clocks))",
        "unit = int(self.context.rng.integers(len(self._clocks)))",
        lambda tmp, make: test_absignsgd.test_nothing_is_drawn(make),
    ),
    Mutant(
        "how deep",
        DepthBiased,
        "start",
        "self.options.cost *",
        "0 *",
        lambda tmp, make: test_absignsgd.test_how_many_layers_a_backward_pass_goes_through(
            make, 32, 10.9
        ),
    ),
    Mutant(
        "the sign",
        Sign,
        "update",
        "gradient[part].sign()",
        "gradient[part]",
        lambda tmp, make: _stateless().test_every_element_moves_by_the_rate_or_not_at_all(tmp),
    ),
    Mutant(
        "no state",
        Stateless,
        "fields",
        "return ()",
        'return (Field("exp_avg", dtype, shape),)',
        lambda tmp, make: _stateless().test_wherever_state_would_be_the_weights_are_the_same(
            tmp, "sign", "float32"
        ),
    ),
]

FRUGALS = [
    Mutant(
        "density one",
        Frugal,
        "start",
        "round(self.options.density",
        "round(0.5 * self.options.density",
        lambda tmp, make: FRUGAL.test_at_density_one_it_is_adamw(tmp),
    ),
    Mutant(
        "density zero",
        Frugal,
        "start",
        "round(self.options.density * len(context.units))",
        "1",
        lambda tmp, make: FRUGAL.test_at_density_zero_and_nothing_for_the_rest(tmp),
    ),
    Mutant(
        "an inactive weight",
        StateStore,
        "move",
        "lr * scale",
        "lr",
        lambda tmp, make: FRUGAL.test_at_density_zero_all_matrices_move_by_their_sign(tmp),
    ),
    Mutant(
        "counters after a gap",
        restarts,
        "restarts",
        "return group.restarts",
        "return False",
        lambda tmp, make: FRUGAL.test_every_active_counter_begins_anew(tmp),
    ),
    Mutant(
        "drawn from all",
        Frugal,
        "select",
        "self.context.rng.permutation(num_units)[",
        "(self.context.rng.permutation(num_units // 2) + step % 2 * (num_units // 2))[",
        lambda tmp, make: test_frugal.test_units_are_drawn_from_all_each_time(make),
    ),
    Mutant(
        "half to even",
        Frugal,
        "start",
        "round(self.options.density * len(context.units))",
        "int(self.options.density * len(context.units) + 0.5)",
        lambda tmp, make: test_frugal.test_a_quarter_of_the_units_half_rounded_to_even(
            make, 154, 38
        ),
    ),
]

ALL = {
    f"{method}: {mutant.section}": mutant
    for method, mutants in {
        "misa": MISA,
        "chunkft": CHUNKFT,
        "blockllm": BLOCKLLM,
        "bread": BREAD,
        "absignsgd": ABSIGNSGD,
        "frugal": FRUGALS,
    }.items()
    for mutant in mutants
}


def _twice(tmp: Path, policy: str, ages: tuple[int, int]) -> None:
    name = "test_a_module_drawn_twice_in_a_row_goes_on_by_the_code_and_begins_anew_by_the_paper"
    getattr(test_newer_rules, name)(tmp, policy, ages)


def _stateless() -> Any:
    from tests.optimizers import test_stateless

    return test_stateless


@pytest.mark.parametrize("name", ALL)
def test_a_mutant_is_seen(
    tmp_path: Path, make_context: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ALL[name].patch(monkeypatch)
    with pytest.raises((AssertionError, UserError)):
        ALL[name].seen_by(tmp_path, make_context)


def test_another_state_policy_than_badams_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BREAD without its expansion is BAdam: its state begins anew with each block."""
    card = test_unselected.CARDS["bread-sgd"].model_copy(update={"state_policy": "keep"})
    monkeypatch.setitem(test_unselected.CARDS, "bread-sgd", card)
    with pytest.raises(AssertionError):
        test_unselected.test_without_the_expansion_it_is_badam(tmp_path)


def test_layer_norms_gradient_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ChunkFT's own norm: the value of RMSNorm, the gradient of LayerNorm."""

    def forward(norm: Any, x: torch.Tensor) -> torch.Tensor:
        value = x * x.square().mean(-1, keepdim=True).rsqrt()
        centred = x - x.mean(-1, keepdim=True)
        backward = centred * centred.square().mean(-1, keepdim=True).rsqrt()
        return norm.weight * (value.detach() + backward - backward.detach())

    monkeypatch.setattr(LlamaRMSNorm, "forward", forward)
    with pytest.raises(AssertionError):
        test_newer_rules.test_the_gradient_of_a_root_mean_square_norm(tmp_path)
