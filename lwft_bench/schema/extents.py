"""How much of a model's arithmetic a batch asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Extent(NamedTuple):
    """What the operations of forward and backward passes grow with.

    tokens: of all rows. pairs: of tokens of one row, length squared, for attention. targets: tokens
    that the head is applied to.
    """

    micro_batches: int = 0
    tokens: int = 0
    pairs: int = 0
    targets: int = 0

    @classmethod
    def of_lengths(cls, lengths: Sequence[int], num_targets: int) -> Extent:
        """Of one micro-batch with rows of these lengths."""
        return cls(1, sum(lengths), sum(length**2 for length in lengths), num_targets)

    def plus(self, other: Extent) -> Extent:
        """Of both."""
        return Extent(*(one + another for one, another in zip(self, other, strict=True)))

    def minus(self, earlier: Extent) -> Extent:
        """What has come since."""
        return Extent(*(one - another for one, another in zip(self, earlier, strict=True)))
