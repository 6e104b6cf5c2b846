"""The extent of batches: as a model is given them, and without padding."""

from __future__ import annotations

from collections.abc import Iterable

from lwft_bench.data.batching import Batch
from lwft_bench.schema.extents import Extent


def computed_extent(batches: Iterable[Batch]) -> Extent:
    """What the model is given: padding is computed like any token."""
    extent = Extent()
    for batch in batches:
        rows, length = batch.input_ids.shape
        lengths = batch.packing.lengths if batch.packing else [length] * rows
        extent = extent.plus(Extent.of_lengths(lengths, batch.num_target_tokens))
    return extent


def needed_extent(batches: Iterable[Batch]) -> Extent:
    """Without padding."""
    extent = Extent()
    for batch in batches:
        extent = extent.plus(Extent.of_lengths(batch.lengths, batch.num_target_tokens))
    return extent
