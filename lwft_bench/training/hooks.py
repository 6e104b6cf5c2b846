"""What a trainer is given besides what it trains: its data and streams, and whom it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lwft_bench.data.batching import DataOrder
from lwft_bench.schema.events import Emit
from lwft_bench.training.streams import RandomStreams


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the trainer tells the outside, and asks it.

    emit: an event. should_stop: whether to write a checkpoint and raise Interrupted; of several ranks
    one is enough. validate: the validation loss now.
    """

    emit: Emit
    should_stop: Callable[[], bool]
    validate: Callable[[], float | None]


@dataclass(frozen=True, slots=True)
class Feed:
    """What a run draws from: batches to train on, batches to probe and measure on, random streams."""

    order: DataOrder
    probing_order: DataOrder
    streams: RandomStreams
