"""A private stream of random numbers for drawing initial weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def private_stream(seed: int) -> Iterator[None]:
    """Inside, torch draws from `seed` on the CPU; afterwards its global streams are as before."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the accelerators' streams too, which are not restored here.
        torch.default_generator.manual_seed(seed)
        yield
