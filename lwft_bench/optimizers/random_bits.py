"""Random bits as a function of seed, step, parameter and element, and rounding with them."""

from __future__ import annotations

import torch


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
    shifted copies of one another's bits.
    """
    value = seed & 0xFFFFFFFFFFFFFFFF
    for part in (step, parameter):
        value = ((value ^ part) + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        value ^= value >> 31
    return value >> 1
