"""Precision policies: in what weights and state are kept, and how an update reaches the weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from lwft_bench.optimizers.random_bits import round_stochastically

CHUNK_ELEMENTS = 2**20
"""Temporaries of an update are made for at most this many elements at a time."""

KernelCall = Callable[[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]], None]
"""The optimizer's kernel, in place on (weight, gradient, state) slices of one dtype."""


@dataclass(frozen=True, slots=True)
class Precision:
    """weight: of weights and gradients. state: of the optimizer's moments. master: a float32 copy of
    the weights is kept with the state and receives the updates. stochastic: the updated weight is
    rounded up or down with probabilities that make it right in the mean."""

    weight: torch.dtype
    state: torch.dtype
    master: bool = False
    stochastic: bool = False


PRECISIONS = {
    "float32": Precision(torch.float32, torch.float32),
    "bf16": Precision(torch.bfloat16, torch.bfloat16),
    "bf16-stochastic": Precision(torch.bfloat16, torch.bfloat16, stochastic=True),
    "bf16-master": Precision(torch.bfloat16, torch.float32, master=True),
}


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
    if not (precision.master or precision.stochastic):
        kernel(weight, gradient, state)
        return
    for start in range(0, weight.numel(), CHUNK_ELEMENTS):
        part = slice(start, start + CHUNK_ELEMENTS)
        chunk = {name: tensor[part] for name, tensor in state.items()}
        if precision.master:
            master = chunk.pop("master")
            kernel(master, gradient[part].float(), chunk)
            weight[part].copy_(master)
        else:
            updated = weight[part].float()
            wide = {name: tensor.float() for name, tensor in chunk.items()}
            kernel(updated, gradient[part].float(), wide)
            for name, tensor in chunk.items():
                tensor.copy_(wide[name])
            weight[part].copy_(round_stochastically(updated, key, first_element + start))
