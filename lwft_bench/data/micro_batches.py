"""How the sequences of an optimizer step are split into micro-batches, and what packing them needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from lwft_bench.schema.cell import Batching

PADDED_TO = 8
"""Padded lengths are multiples of this, so that few shapes occur and kernels like them."""


def padded_length(length: int) -> int:
    """The tokens of a row that is as long as `length` demands."""
    return -(-length // PADDED_TO) * PADDED_TO


@dataclass(frozen=True, slots=True)
class Splitting:
    """How much goes into a micro-batch: sequences, or tokens as they are computed.

    max_sequences: None: no limit. max_tokens: None: no limit; a longer sequence is alone in its
    micro-batch.
    """

    batching: Batching = "padded"
    max_sequences: int | None = None
    max_tokens: int | None = None

    def split(self, indices: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
        """The micro-batches of a step, each the indices of its sequences.

        Args:
            lengths: Tokens of each of `indices`.
        """
        order = list(range(len(indices)))
        if self.batching == "by_length":
            order.sort(key=lambda place: -lengths[place])
        found: list[list[int]] = []
        for place in order:
            if not found or not self._fits([lengths[p] for p in (*found[-1], place)]):
                found.append([])
            found[-1].append(place)
        return [[indices[place] for place in places] for places in found]

    def _fits(self, lengths: Sequence[int]) -> bool:
        if self.max_sequences is not None and len(lengths) > self.max_sequences:
            return False
        if self.max_tokens is None:
            return True
        if self.batching == "packed":
            return sum(lengths) <= self.max_tokens
        return len(lengths) * padded_length(max(lengths)) <= self.max_tokens


class Packing(NamedTuple):
    """Several sequences in one row without padding.

    position_ids: [1, T], from 0 in each sequence. lengths: of the sequences in their order, T together.
    """

    position_ids: torch.Tensor
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device | None = None) -> Packing:
        """Of sequences of these lengths."""
        positions = [torch.arange(length, device=device) for length in lengths]
        return cls(torch.cat(positions)[None], tuple(lengths))

    def to(self, device: torch.device) -> Packing:
        """The same on the device."""
        return Packing(self.position_ids.to(device, non_blocking=True), self.lengths)
