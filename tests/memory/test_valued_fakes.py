"""Fake tensors with values where these follow from no weight, and even choices where they do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DynamicOutputShapeException

from lwft_bench.memory.valued_fakes import EvenChoices, ValuedFakeMode

T = torch


def written_in_a_view() -> Tensor:
    table = T.zeros(3, 4)
    table[1, :2] = 1
    return table.nonzero()


@pytest.mark.parametrize(
    "operation",
    [
        lambda: (T.arange(12).view(3, 4) % 5 > 2).nonzero(),
        lambda: T.where(T.tril(T.ones(4, 4)) > 0)[1],
        lambda: T.arange(6)[T.tensor([1, 3])].repeat_interleave(T.tensor([2, 1])),
        lambda: T.zeros(4, 3).scatter(1, T.tensor([[0], [2], [2], [1]]), 1).nonzero(),
        lambda: T.masked_select(T.arange(9), T.arange(9) > 4),
        written_in_a_view,
    ],
)
def test_shapes_that_follow_from_constants_are_those_of_real_tensors(
    operation: Callable[[], Tensor],
) -> None:
    with ValuedFakeMode():
        fake = operation()
    real = operation()
    assert (fake.shape, fake.stride(), fake.dtype) == (real.shape, real.stride(), real.dtype)


def test_numbers_that_follow_from_constants_are_told() -> None:
    with ValuedFakeMode():
        counts = T.zeros(2, 3).scatter(1, T.tensor([[0], [2]]), 1).long().sum(0)
        assert counts.tolist() == [1, 0, 1]
        assert bool((T.arange(3) == 2).any())
        assert not bool(T.rand([]) < 0.0)  # no layer is dropped


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_weights_decide_is_not_told(overwrite: bool) -> None:
    with ValuedFakeMode():
        table = T.zeros(3, 4)
        view = table[1]
        weights = T.randn(4)
        if overwrite:
            view.copy_(weights)
            with pytest.raises(DynamicOutputShapeException):
                table.nonzero()
        else:
            with pytest.raises(DynamicOutputShapeException):
                (weights > 0).nonzero()
            assert table.nonzero().shape == (0, 2)


@pytest.mark.parametrize("dim", [-1, 0])
def test_choices_are_even_and_alike_on_fake_and_real_tensors(dim: int) -> None:
    def counts(scores: Tensor) -> list[int]:
        chosen = scores.topk(2, dim).indices
        return [int((chosen == n).sum()) for n in range(4)]

    shape = (6, 4) if dim == -1 else (4, 6)
    with ValuedFakeMode():
        fake = counts(T.randn(shape))
    with EvenChoices():
        real = counts(T.randn(shape))
    assert fake == real == [3, 3, 3, 3]
