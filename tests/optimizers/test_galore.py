"""GaLore: shapes of its state, rank of its updates."""

from __future__ import annotations

import pytest
import torch

from lwft_bench.optimizers.galore import GaLore

RANK = 3
PROJECTIONS = ["std", "reverse_std", "left", "right", "full"]


def galore(proj_type: str = "std", gap: int = 4) -> GaLore:
    return GaLore(GaLore.Options(rank=RANK, update_proj_gap=gap, scale=0.5, proj_type=proj_type))


def zero_state(optimizer: GaLore, shape: tuple[int, ...]) -> dict[str, torch.Tensor]:
    return {
        field.name: torch.zeros(field.shape, dtype=field.dtype)
        for field in optimizer.fields(shape, torch.float32)
    }


@pytest.mark.parametrize("shape", [(8, 12), (12, 8), (8, 8)])
@pytest.mark.parametrize("proj_type", PROJECTIONS)
def test_updates_have_the_rank_between_two_decompositions(
    proj_type: str, shape: tuple[int, int]
) -> None:
    optimizer = galore(proj_type)
    state = zero_state(optimizer, shape)
    start = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    weight = start.clone()
    generator = torch.Generator().manual_seed(1)
    for step in range(1, 5):
        optimizer.update(weight, torch.randn(shape, generator=generator), state, step, 0.1)
    assert torch.linalg.matrix_rank(weight - start, atol=1e-4) == RANK
    kept = {side: state[side].clone() for side in ("left", "right") if side in state}
    optimizer.update(weight, torch.randn(shape, generator=generator), state, 5, 0.1)
    assert all(not torch.equal(state[side], old) for side, old in kept.items())
    assert torch.linalg.matrix_rank(weight - start, atol=1e-4) == min(2 * RANK, *shape)


def test_moments_are_as_small_as_the_projection() -> None:
    shapes = {field.name: field.shape for field in galore().fields((8, 12), torch.float32)}
    assert shapes == {"exp_avg": (RANK, 12), "exp_avg_sq": (RANK, 12), "left": (8, RANK)}
    shapes = {field.name: field.shape for field in galore().fields((12, 8), torch.float32)}
    assert shapes == {"exp_avg": (12, RANK), "exp_avg_sq": (12, RANK), "right": (RANK, 8)}


def test_which_parameters_are_projected() -> None:
    optimizer = galore()
    assert optimizer.for_parameter((8, 4), in_layer=True, seed=0) is optimizer
    for shape, in_layer in (((8, 4), False), ((8, RANK), True), ((8,), True)):
        assert optimizer.for_parameter(shape, in_layer=in_layer, seed=0).kind == "elementwise"
