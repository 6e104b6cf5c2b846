"""APOLLO against its formulas."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
import torch

from lwft_bench.optimizers.apollo import Apollo, normal

LR = 0.1


def apollo(**options: Any) -> Apollo:
    return Apollo(Apollo.Options(**({"rank": 4} | options)), seed=7)


def correction(step: int) -> float:
    """For moments that begin at zero, by the default betas."""
    return sqrt(1 - 0.999**step) / (1 - 0.9**step)


def updates(
    optimizer: Apollo, shape: tuple[int, int], gradients: list[torch.Tensor]
) -> list[torch.Tensor]:
    """What each step takes from the weights, over the learning rate."""
    fields = optimizer.fields(shape, torch.float32)
    state = {field.name: torch.zeros(field.shape, dtype=field.dtype) for field in fields}
    found = []
    for step, gradient in enumerate(gradients, 1):
        weight = torch.zeros(shape)
        optimizer.update(weight, gradient, state, step, LR)
        found.append(-weight / LR)
    return found


def random_gradients(shape: tuple[int, int], count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def test_the_first_step_scales_each_channel_by_the_norm_of_its_signs() -> None:
    """Adam's first direction is the sign: s_j = sqrt(rank) / ||R_j||."""
    (gradient,) = random_gradients((8, 12), 1)
    (update,) = updates(apollo(scale=9.0), (8, 12), [gradient])
    factors = update / gradient
    assert torch.allclose(factors, factors[:1].expand_as(factors), rtol=1e-4)
    assert factors[0].std() > 0.01
    # ||R_j|| is ||G_j|| in the mean (Johnson and Lindenstrauss): entries of P have variance 1 / rank.
    ratios = []
    for seed in range(200):
        optimizer = Apollo(Apollo.Options(rank=4, scale=9.0), seed=seed)
        (update,) = updates(optimizer, (8, 12), [gradient])
        projected = 3.0 * 2.0 / (update / gradient)[0]
        ratios.append((projected / gradient.norm(dim=0)).square().mean())
    assert float(torch.stack(ratios).mean()) == pytest.approx(1, abs=0.05)


def test_one_factor_for_the_tensor() -> None:
    gradients = random_gradients((8, 12), 3)
    for update, gradient in zip(
        updates(apollo(rank=1, scaling="tensor", scale=128.0), (8, 12), gradients),
        gradients,
        strict=True,
    ):
        factors = update / gradient
        assert torch.allclose(factors, factors.mean().expand_as(factors), rtol=1e-4)


def test_tall_matrices_are_turned() -> None:
    gradients = random_gradients((8, 12), 3)
    wide = updates(apollo(), (8, 12), gradients)
    tall = updates(apollo(), (12, 8), [gradient.T.contiguous() for gradient in gradients])
    assert all(torch.allclose(a, b.T, rtol=1e-4) for a, b in zip(wide, tall, strict=True))


def test_the_norm_of_updates_grows_by_the_limit_at_most() -> None:
    """Before the bias correction, as the published package limits them."""
    growth = _growth(apollo())
    assert growth.max() == pytest.approx(1.01, rel=1e-4)
    assert growth.min() < 1
    assert _growth(apollo(growth_limit=100)).max() > 1.02


def _growth(optimizer: Apollo) -> torch.Tensor:
    found = updates(optimizer, (8, 12), random_gradients((8, 12), 12))
    norms = torch.stack([update.norm() / correction(n) for n, update in enumerate(found, 1)])
    return norms[1:] / norms[:-1]


def test_the_projection_is_drawn_anew_after_the_gap() -> None:
    (gradient,) = random_gradients((8, 12), 1)
    same = updates(apollo(update_proj_gap=4, growth_limit=100), (8, 12), [gradient] * 5)
    assert all(torch.allclose(update, same[0], rtol=1e-3) for update in same[:4])
    assert not torch.allclose(same[4], same[0], rtol=1e-2)


def test_a_channel_without_gradient_stays() -> None:
    (gradient,) = random_gradients((8, 12), 1)
    gradient[:, 3] = 0
    for update in updates(apollo(), (8, 12), [gradient, gradient]):
        assert torch.isfinite(update).all() and not update[:, 3].any()


def test_parameters_have_projections_of_their_own() -> None:
    optimizer = apollo()
    gradients = random_gradients((8, 12), 1)
    rules = [optimizer.for_parameter((8, 12), in_layer=True, seed=seed) for seed in (1, 2)]
    first, second = (updates(rule, (8, 12), gradients)[0] for rule in rules)
    assert not torch.allclose(first, second, rtol=1e-2)


def test_numbers_of_the_projection_arenormal() -> None:
    values = normal(100, 1000, key=3, device=torch.device("cpu")).flatten()
    assert values.mean() == pytest.approx(0, abs=0.01)
    assert values.std() == pytest.approx(1, abs=0.01)
    assert values.pow(4).mean() == pytest.approx(3, abs=0.15)
    assert torch.corrcoef(torch.stack([values[:-1], values[1:]]))[0, 1].abs() < 0.01
