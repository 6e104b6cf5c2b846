"""Random streams that do not disturb one another.

Each purpose has a stream of its own, derived from the cell's seed (or from a seed of its own), so
that changing one seed changes only its stream and all methods see the same data order.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

STREAMS = ("initialisation", "data", "dropout", "selection", "measure", "generation", "rounding")


class RandomStreams:
    """numpy generators for data, selection and measuring; integer seeds for what torch draws."""

    def __init__(self, seed: int, overrides: Mapping[str, int] | None = None) -> None:
        overrides = overrides or {}
        self._sequences = {
            name: np.random.SeedSequence(
                overrides.get(name, seed), spawn_key=(zlib.crc32(name.encode()),)
            )
            for name in STREAMS
        }

    def generator(self, name: str) -> np.random.Generator:
        """A fresh generator at the start of the stream."""
        return np.random.Generator(np.random.PCG64(self._sequences[name]))

    def seed(self, name: str, rank: int = 0) -> int:
        """A 63-bit seed for a stream that torch draws from. Each rank can have one of its own."""
        words = self._sequences[name].generate_state(rank + 1, np.uint64)
        return int(words[rank] >> np.uint64(1))


def torch_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The state of torch's global generators, which dropout draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        state[device.type] = torch.get_device_module(device).get_rng_state(device)
    return state


def set_torch_state(state: Mapping[str, torch.Tensor], device: torch.device) -> None:
    """Restore what `torch_state` gave."""
    torch.set_rng_state(state["cpu"])
    if device.type in state and device.type != "cpu":
        torch.get_device_module(device).set_rng_state(state[device.type], device)


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Whatever is drawn inside leaves torch's generators as they were."""
    state = torch_state(device)
    try:
        yield
    finally:
        set_torch_state(state, device)


def generator_state(generator: np.random.Generator) -> dict[str, Any]:
    """JSON-able state of a numpy generator (PCG64: integers of any size)."""
    return dict(generator.bit_generator.state)
