"""Precision policies: in what weights and state are kept, and how an update reaches the weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

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


def round_stochastically(values: torch.Tensor, key: int, first_element: int) -> torch.Tensor:
    """float32 values whose low 16 bits are cleared after adding 16 random bits: exact in bfloat16.

    In the mean over `key` the result equals the value (truncation after adding a uniform number
    below one unit in the last place).
    """
    bits = values.view(torch.int32) + random_bits(values.numel(), key, first_element, values.device)
    return (bits & -65536).view(torch.float32)


def random_bits(count: int, key: int, first_element: int, device: torch.device) -> torch.Tensor:
    """int32 [count] in 0..65535, a function of (key, element) alone: the same on every device.

    The finaliser of splitmix64 (Steele et al., 2014) over a counter, in wrapping int64 arithmetic.
    """
    x = torch.arange(first_element, first_element + count, dtype=torch.int64, device=device)
    x = (x + key) * -7046029254386353131
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return ((x >> 40) & 0xFFFF).to(torch.int32)


def mix(seed: int, step: int, parameter: int) -> int:
    """One int64 key from seed, step and parameter: hashed, so that neighbouring keys do not give
    shifted copies of one another's bits."""
    value = seed & 0xFFFFFFFFFFFFFFFF
    for part in (step, parameter):
        value = ((value ^ part) + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        value ^= value >> 31
    return value >> 1
