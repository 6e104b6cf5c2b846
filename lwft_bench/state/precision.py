"""Precision policies: in what weights and state are kept, and how an update reaches the weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from lwft_bench.memory.chunks import CHUNK_ELEMENTS
from lwft_bench.optimizers.random_bits import mix, round_stochastically

KernelCall = Callable[[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]], None]
"""The optimizer's kernel, in place on (weight, gradient, state) slices of one dtype."""


@dataclass(frozen=True, slots=True)
class Precision:
    """weight: of weights and gradients. state: of the optimizer's moments. master: a float32 copy of
    the weights is kept with the state and receives the updates. stochastic: the updated weight is
    rounded up or down with probabilities that make it right in the mean; state_stochastic: so are the
    moments.
    """

    weight: torch.dtype
    state: torch.dtype
    master: bool = False
    stochastic: bool = False
    state_stochastic: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the optimizer's kernel can work on weights, gradients and state as they are."""
        return self.weight == self.state and not (
            self.master or self.stochastic or self.state_stochastic
        )

    def of(self, weight: torch.Tensor) -> Precision:
        """The policy, but for weights that the model keeps in another dtype: state in that dtype."""
        if weight.dtype == self.weight:
            return self
        return Precision(weight.dtype, weight.dtype)


PRECISIONS = {
    "float32": Precision(torch.float32, torch.float32),
    "bf16": Precision(torch.bfloat16, torch.bfloat16),
    "bf16-stochastic": Precision(torch.bfloat16, torch.bfloat16, stochastic=True),
    "bf16-master": Precision(torch.bfloat16, torch.float32, master=True),
}
"""By training.precision, with the moments that go with it if training.state_dtype says nothing."""

STATE_DTYPES = {
    "float32": (torch.float32, False),
    "bf16": (torch.bfloat16, False),
    "bf16-stochastic": (torch.bfloat16, True),
}
"""By training.state_dtype: the dtype, and whether it is rounded stochastically."""


def precision_of(precision: str, state_dtype: str | None) -> Precision:
    """The policy of a cell's training: `training.precision` and `training.state_dtype`."""
    policy = PRECISIONS[precision]
    if state_dtype is None:
        return policy
    dtype, stochastic = STATE_DTYPES[state_dtype]
    return replace(policy, state=dtype, state_stochastic=stochastic)


def update_slice(
    precision: Precision,
    kernel: KernelCall,
    weight: torch.Tensor,
    gradient: torch.Tensor,
    state: dict[str, torch.Tensor],
    key: int,
    first_element: int,
) -> None:
    """Updates a 1-D slice of a parameter by the policy.

    `key` (seed, step and parameter, mixed) and `first_element` number the random bits of stochastic
    rounding, so that they depend neither on where state lives nor on how it is cut.
    """
    if precision.is_plain:
        kernel(weight, gradient, state)
        return
    for start in range(0, weight.numel(), CHUNK_ELEMENTS):
        part = slice(start, start + CHUNK_ELEMENTS)
        chunk = {name: tensor[part] for name, tensor in state.items()}
        master = chunk.pop("master") if precision.master else None
        updated = weight[part].float() if master is None else master
        wide = {name: tensor.float() for name, tensor in chunk.items()}
        kernel(updated, gradient[part].float(), wide)
        first = first_element + start
        for number, (name, tensor) in enumerate(chunk.items(), 1):
            _store(tensor, wide[name], precision.state_stochastic, mix(key, number, 0), first)
        _store(weight[part], updated, precision.stochastic, key, first)


def _store(
    stored: torch.Tensor, value: torch.Tensor, stochastic: bool, key: int, first_element: int
) -> None:
    """Puts a float32 value where it is kept. What is kept in float32 was worked on in place."""
    if stored.dtype != torch.float32:
        stored.copy_(round_stochastically(value, key, first_element) if stochastic else value)
