"""APOLLO step by step against what the published package does, written out plainly here.

tests/fidelity compares the same updates with the package itself, where it is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from lwft_bench.optimizers import apollo as module
from lwft_bench.optimizers.apollo import Apollo

STEPS, RANK, GAP, SCALE, LR = 20, 4, 8, 9.0, 0.5
TOLERANCE = 1e-4
SHAPES = {"wide": (8, 12), "tall": (12, 8), "square": (8, 8)}


def gradients(shape: Sequence[int], kind: str) -> list[torch.Tensor]:
    """coherent: nearly the same each step. small: so small that epsilon matters."""
    generator = torch.Generator().manual_seed(1)
    mean = torch.randn(*shape, generator=generator)
    noise = [torch.randn(*shape, generator=generator) for _ in range(STEPS)]
    if kind == "coherent":
        return [mean + 0.3 * one for one in noise]
    return [1e-5 * one for one in noise]


def ours(found: Sequence[torch.Tensor], **options: Any) -> list[torch.Tensor]:
    """The weight after each step, from ones."""
    shape = tuple(found[0].shape)
    given: dict[str, Any] = {"rank": RANK, "scale": SCALE, "update_proj_gap": GAP}
    optimizer = Apollo(Apollo.Options(**(given | options)), seed=7)
    state = {
        f.name: torch.zeros(f.shape, dtype=f.dtype) for f in optimizer.fields(shape, torch.float32)
    }
    weight, weights = torch.ones(shape), []
    for step, gradient in enumerate(found, 1):
        optimizer.update(weight, gradient.clone(), state, step, LR)
        weights.append(weight.clone())
    return weights


def package(
    found: Sequence[torch.Tensor],
    projection_of: Callable[[int], torch.Tensor],
    *,
    decay: float = 0.0,
    tensor: bool = False,
) -> list[torch.Tensor]:
    """apollo-torch 1.0.3's arithmetic. projection_of: of a step, [rank, smaller dimension]."""
    weight, weights = torch.ones_like(found[0]), []
    first = second = norm_before = None
    for step, gradient in enumerate(found, 1):
        right = gradient.shape[0] >= gradient.shape[1]
        turned = gradient.T if right else gradient
        low = projection_of(step) @ turned
        first = 0.1 * low if first is None else 0.9 * first + 0.1 * low
        second = 0.001 * low**2 if second is None else 0.999 * second + 0.001 * low**2
        adapted = first / (second.sqrt() + 1e-6)
        dim = None if tensor else 0
        factor = torch.linalg.vector_norm(adapted, dim=dim) / (
            torch.linalg.vector_norm(low, dim=dim) + 1e-8
        )
        update = turned * factor
        norm = update.norm()
        if norm_before is not None:
            excess = max(float(norm / (norm_before + 1e-8)), 1.01) / 1.01
            update, norm = update / excess, norm / excess
        norm_before = norm
        update = update * SCALE**0.5 * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
        weight = (weight - LR * (update.T if right else update)) * (1 - LR * decay)
        weights.append(weight)
    return weights


def drawn(shape: Sequence[int]) -> Callable[[int], torch.Tensor]:
    """Our projections, which follow from the seed."""

    def projection_of(step: int) -> torch.Tensor:
        from lwft_bench.optimizers.random_bits import mix

        key = mix(7, (step - 1) // GAP, 0)
        return module.normal(RANK, min(shape), key, torch.device("cpu")) / RANK**0.5

    return projection_of


def difference(mine: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """The largest difference of a step's update, over the update's own size."""
    start = torch.ones_like(mine[0])
    found = []
    for ours_before, ours_now, before, now in zip(
        [start, *mine], mine, [start, *other], other, strict=False
    ):
        update = now - before
        found.append(float((ours_now - ours_before - update).norm() / update.norm()))
    return max(found)


@pytest.mark.parametrize("kind", ["coherent", "small"])
@pytest.mark.parametrize("shape", SHAPES)
def test_updates_are_those_of_the_package(shape: str, kind: str) -> None:
    found = gradients(SHAPES[shape], kind)
    assert difference(ours(found), package(found, drawn(SHAPES[shape]))) <= TOLERANCE


def test_one_factor_for_the_tensor_and_decay(shape: str = "wide") -> None:
    found = gradients(SHAPES[shape], "coherent")
    mine = ours(found, scaling="tensor", weight_decay=0.01)
    other = package(found, drawn(SHAPES[shape]), decay=0.01, tensor=True)
    assert difference(mine, other) <= TOLERANCE


def corrected_limit(
    norm: torch.Tensor, before: torch.Tensor, most: float, step: int
) -> torch.Tensor:
    """Of norms after the bias correction."""
    correction = (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
    return right_limit(norm * correction, before, most, step)


def late_epsilon(gradient: Any, state: Any, options: Any) -> torch.Tensor:
    """As torch's AdamW has it: after the correction, for the second step on of a constant one."""
    return right_direction(gradient, state, options.model_copy(update={"eps": 1e-8}))


right_limit, right_direction = module.limit, module.uncorrected_direction


@pytest.mark.parametrize(
    ("name", "wrong", "shape", "kind"),
    [
        ("limit", corrected_limit, "wide", "coherent"),
        ("limit", lambda norm, *_: torch.ones_like(norm), "tall", "coherent"),
        ("uncorrected_direction", late_epsilon, "wide", "small"),
        ("turned", lambda shape: shape[0] > shape[1], "square", "coherent"),
    ],
)
def test_what_was_wrong_is_seen(
    name: str, wrong: Any, shape: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, wrong)
    found = gradients(SHAPES[shape], kind)
    assert difference(ours(found), package(found, drawn(SHAPES[shape]))) > 100 * TOLERANCE
