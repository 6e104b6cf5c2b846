"""A model's trainable parameters as the trainer handles them: units, and parts beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from lwft_bench.config.models import MethodConfig
from lwft_bench.models.parts import PARTS, ModelParts
from lwft_bench.strategies.base import Unit


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that are trained, kept or reset together.

    unit: its index among the units, None for a part.
    """

    name: str
    unit: int | None
    parameters: dict[str, nn.Parameter]

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters.values())


@dataclass(frozen=True, slots=True)
class Groups:
    """units: what the strategy chooses among. always: trained at every step. frozen: every parameter
    in neither."""

    units: tuple[Group, ...]
    always: tuple[Group, ...]
    frozen: dict[str, nn.Parameter]

    @property
    def all(self) -> tuple[Group, ...]:
        return self.units + self.always

    def seen_by_strategy(self) -> list[Unit]:
        """The units as strategies see them."""
        return [
            Unit(index=index, kind="layer", depth=index, num_parameters=group.num_parameters)
            for index, group in enumerate(self.units)
        ]


def make_groups(
    model: nn.Module, parts: ModelParts, method: MethodConfig, trains: Callable[[str], bool]
) -> Groups:
    """Groups by the method's card.

    `trains` is the adapter's: which parameters of a layer are trainable when the layer is selected.
    Always-trained parts are trained in full. Parts without parameters (a tied head) make no group.
    """
    units = tuple(
        Group(
            f"layer.{index}",
            index,
            {name: parameter for name, parameter in layer.items() if trains(name)},
        )
        for index, layer in enumerate(parts.layer_parameters)
    )
    wanted = PARTS if method.always_train == "all" else method.always_train
    always = tuple(
        Group(part, None, dict(parts.parts[part]))
        for part in PARTS
        if part in wanted and parts.parts[part]
    )
    trainable = {id(p) for group in units + always for p in group.parameters.values()}
    frozen = {name: p for name, p in model.named_parameters() if id(p) not in trainable}
    return Groups(units, always, frozen)
