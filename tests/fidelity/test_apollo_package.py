"""APOLLO against apollo-torch, step by step, with the package's own projections.

pytest tests/fidelity -m fidelity
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from lwft_bench.optimizers import apollo as module
from tests.optimizers.test_apollo_parity import (
    GAP,
    LR,
    RANK,
    SCALE,
    SHAPES,
    TOLERANCE,
    corrected_limit,
    difference,
    gradients,
    late_epsilon,
    ours,
)

pytestmark = pytest.mark.fidelity


def theirs(
    found: list[torch.Tensor], **options: Any
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The weight after each step, and the projection that the step had, [rank, smaller side]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("apollo_torch", reason="apollo-torch is not installed")
    weight = torch.nn.Parameter(torch.ones_like(found[0]))
    given = {"rank": RANK, "update_proj_gap": GAP, "scale": SCALE, "scale_type": "channel"}
    group = {"params": [weight], "proj": "random", "proj_type": "std", **given, **options}
    optimizer = package.APOLLOAdamW([group], lr=LR)
    weights, projections = [], []
    for gradient in found:
        weight.grad = gradient.clone()
        optimizer.step()
        weights.append(weight.detach().clone())
        projection = optimizer.state[weight]["projector"].ortho_matrix
        wide = projection if projection.shape[0] == RANK else projection.T
        projections.append(wide.clone())
    return weights, projections


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes our next updates use these projections, one a step."""

    def give(projections: list[torch.Tensor]) -> None:
        left = iter(projections)
        monkeypatch.setattr(module, "normal", lambda *_: next(left) * RANK**0.5)

    return give


@pytest.mark.parametrize("kind", ["coherent", "small"])
@pytest.mark.parametrize("shape", SHAPES)
def test_updates_are_those_of_the_package(shape: str, kind: str, given: Any) -> None:
    found = gradients(SHAPES[shape], kind)
    weights, projections = theirs(found)
    assert not torch.equal(projections[0], projections[-1])
    given(projections)
    assert difference(ours(found), weights) <= TOLERANCE


def test_one_factor_for_the_tensor_and_decay(given: Any) -> None:
    found = gradients(SHAPES["wide"], "coherent")
    weights, projections = theirs(found, scale_type="tensor", weight_decay=0.01)
    given(projections)
    assert difference(ours(found, scaling="tensor", weight_decay=0.01), weights) <= TOLERANCE


@pytest.mark.parametrize(
    ("name", "wrong", "kind"),
    [("limit", corrected_limit, "coherent"), ("uncorrected_direction", late_epsilon, "small")],
)
def test_what_was_wrong_is_seen(
    name: str, wrong: Any, kind: str, given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = gradients(SHAPES["wide"], kind)
    weights, projections = theirs(found)
    given(projections)
    monkeypatch.setattr(module, name, wrong)
    assert difference(ours(found), weights) > 100 * TOLERANCE
