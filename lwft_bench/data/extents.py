"""The extent of batches: as a model is given them, and without padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lwft_bench.data.batching import Batch
from lwft_bench.schema.extents import Extent


def computed_extent(batches: Iterable[Batch]) -> Extent:
    """What the model is given: padding is computed like any token."""
    extent = Extent()
    for batch in batches:
        if batch.packing is not None:
            extent = extent.plus(packed_extent(batch.lengths, batch.num_target_tokens))
            continue
        rows, length = batch.input_ids.shape
        extent = extent.plus(Extent.of_lengths([length] * rows, batch.num_target_tokens))
    return extent


def packed_extent(lengths: Sequence[int], num_targets: int) -> Extent:
    """Of one packed micro-batch: padding is computed in attention alone."""
    return Extent(1, sum(lengths), len(lengths) * max(lengths) ** 2, num_targets)


def needed_extent(batches: Iterable[Batch]) -> Extent:
    """Without padding."""
    extent = Extent()
    for batch in batches:
        extent = extent.plus(Extent.of_lengths(batch.lengths, batch.num_target_tokens))
    return extent
