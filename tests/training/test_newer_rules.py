"""What the newer methods say of a run, beside what their strategies and optimizers say alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lwft_bench.dry_run.fake_cell import fake_cell
from lwft_bench.strategies.base import Selection
from tests.planning.test_plan import ARCHITECTURES, FULL, small_cell
from tests.training.small_cards import small_cards
from tests.training.test_observed import scripted
from tests.training.tiny import make_run, training

CARDS = small_cards()


@pytest.mark.parametrize(("policy", "ages"), [("reset", (2, 6)), ("restart", (2, 2))])
def test_a_module_drawn_twice_in_a_row_goes_on_by_the_code_and_begins_anew_by_the_paper(
    tmp_path: Path, policy: str, ages: tuple[int, int]
) -> None:
    """MISA: the first module has been away, the second is in all three selections of two steps."""
    card = CARDS["misa"].model_copy(update={"state_policy": policy})
    before = make_run(tmp_path / "a", card, training(6)).weights()
    run = make_run(tmp_path / "b", card, training(6))
    scripted(run, [Selection((0, 1), 2), Selection((1, 2), 2), Selection((0, 1), 2)])
    groups = run.assembly.groups.units
    steps = run.assembly.store.steps()
    assert tuple(steps[groups[unit].name][0] for unit in (0, 1)) == ages
    after = run.weights()
    trained = {name for unit in (0, 1, 2) for name in groups[unit].parameters}
    assert {name for name in after if not torch.equal(after[name], before[name])} == trained
    assert all("_proj" in name for name in trained), "no gain, embedding or head"


def test_the_gradient_of_a_root_mean_square_norm(tmp_path: Path) -> None:
    """Of the model that is trained here: x = (1, 2), gain 1, eps 0, upstream (1, 0).

    ChunkFT's own LLaMA has LayerNorm's gradient there: (0, 0), and (-1, 0) of the gain.
    """
    run = make_run(tmp_path, CARDS["chunkft"], training(1))
    norm = type(run.model.get_submodule("model.norm"))(2, eps=0.0)
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    norm(x).backward(torch.tensor([1.0, 0.0]))
    assert x.grad.tolist() == pytest.approx([0.5060, -0.2530], abs=5e-5)
    assert norm.weight.grad.tolist() == pytest.approx([0.6325, 0.0], abs=5e-5)


def operations(name: str) -> list[int]:
    """Floating-point operations of a step of each layer, from the input."""
    cell = small_cell(CARDS[name], ARCHITECTURES["llama"])
    found = []
    with fake_cell(cell, FULL) as fake:
        for unit in range(3):
            fake.select([unit])
            found.append(fake.run_step())
    return found


def test_what_the_expansion_costs() -> None:
    """BREAD-SGD of all layers costs the same whichever is active; partial stops where BAdam does."""
    badam, everything, partial = map(operations, ("badam", "bread-sgd", "bread-sgd-partial"))
    assert len(set(everything)) == 1
    assert badam[0] > badam[1] > badam[2]
    assert partial[0] == everything[0] and partial[2] == badam[2]
    # The gradients of deeper layers' weights are arithmetic that BAdam does not do.
    assert badam[0] < partial[0] and badam[1] < partial[1]
