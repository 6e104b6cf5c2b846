"""What a strategy chooses among, and what becomes of what it does not select."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from lwft_bench.schema.base import Config, Named

Part = Literal["embed", "final_norm", "head", "other"]
UnitKind = Literal["embed", "layers", "modules", "tensors", "head"]
TrainedPart = Literal[Part, "norms"]
PARTS_OF_UNIT: dict[UnitKind, tuple[Part, ...]] = {
    "embed": ("embed", "other"),
    "layers": (),
    "modules": (),
    "tensors": ("final_norm",),
    "head": ("final_norm", "head"),
}
"""The parts that a unit beside the layers is made of; `tensors` leave the final norm to `head`."""


class ChunkUnits(Config):
    """Units that are pieces of one stream, all trained parameters in their order, of about equal bytes.

    It is cut between rows (the first dimension), inside tensors too.
    """

    chunks: PositiveInt


def one_kind_in_layers(kinds: tuple[UnitKind, ...]) -> tuple[UnitKind, ...]:
    """Layers, modules and tensors exclude one another."""
    inside = [kind for kind in kinds if kind in ("layers", "modules", "tensors")]
    if len(inside) > 1:
        raise ValueError(f"{' and '.join(inside)} are the same parameters: name one of them")
    return kinds


class UnselectedConfig(Config):
    """A second rule, for the units that are not selected.

    It is applied in the backward pass, to each gradient as soon as it is complete and unclipped, so that
    one parameter's is all there is beside those of the selected units; when a step has several
    micro-batches they are there until its last one. It works in the weights' own precision.
    """

    optimizer: Named
    """One without state: `sgd` or `sign`."""
    lr_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Factor on the learning rate."""
    range: Literal["all", "deeper"] = "all"
    """Which of them: all, or those whose depth is above that of the lowest selected one, and whose
    derivatives the backward pass makes anyway."""
