"""A model's trainable parameters as the trainer handles them: units, and parts beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from lwft_bench.adapters.base import Adapter
from lwft_bench.models.parts import PARTS, ModelParts
from lwft_bench.schema.cell import PARTS_OF_UNIT, MethodConfig, UnitKind
from lwft_bench.schema.errors import UserError
from lwft_bench.strategies.base import Unit


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that are trained, kept or reset together.

    unit: its index among the units, None for a part. restarts: whether its state begins anew at
    every selection, even at one that changes nothing.
    """

    name: str
    unit: int | None
    parameters: dict[str, nn.Parameter]
    restarts: bool = False

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitGroup(Group):
    """A unit, `kind` and `depth` as strategies see them.

    pretrained: the unit's parameters that the model was loaded with, trained or not. Statistics of
    weights are theirs.
    """

    kind: str
    depth: int
    pretrained: dict[str, nn.Parameter]


@dataclass(frozen=True, slots=True)
class Groups:
    """units: what the strategy chooses among. always: trained at every step. frozen: every parameter
    in neither."""

    units: tuple[UnitGroup, ...]
    always: tuple[Group, ...]
    frozen: dict[str, nn.Parameter]

    @property
    def all(self) -> tuple[Group, ...]:
        return (*self.units, *self.always)

    def seen_by_strategy(self) -> list[Unit]:
        """The units as strategies see them."""
        return [
            Unit(index, group.kind, group.depth, group.num_parameters)
            for index, group in enumerate(self.units)
        ]


def make_groups(
    model: nn.Module,
    parts: ModelParts,
    method: MethodConfig,
    adapter: Adapter,
    without_gradient: Collection[str] = (),
) -> Groups:
    """Groups by the method's card, units in the order of the forward pass.

    Of a unit's parameters those are trained that the adapter trains and a gradient reaches.
    Always-trained parts are trained in full, but for parameters that no gradient reaches. Parts
    without parameters (a tied head) make no group, nor do layers that have nothing to train.

    Args:
        without_gradient: Names of parameters that no gradient reaches.

    Raises:
        UserError: A unit that the card names has nothing to train.
    """
    chosen = _modules(parts, adapter) if method.units == "modules" else _parts(parts, method.units)
    units: list[UnitGroup] = []
    for name, kind, depth, parameters in chosen:
        trained = {
            n: p for n, p in parameters.items() if adapter.trains(n) and n not in without_gradient
        }
        if not trained and kind not in PARTS_OF_UNIT:
            continue
        units.append(
            UnitGroup(
                name,
                len(units),
                trained,
                restarts=method.state_policy == "restart",
                kind=kind,
                depth=depth,
                pretrained={n: p for n, p in parameters.items() if not adapter.adds(n)},
            )
        )
    _require_something_to_train(units, adapter)
    wanted = PARTS if method.always_train == "all" else method.always_train
    always = tuple(
        Group(
            part,
            None,
            found,
            restarts=method.always_train_state_policy == "restart",
        )
        for part in PARTS
        if part in wanted
        and (found := {n: p for n, p in parts.parts[part].items() if n not in without_gradient})
    )
    groups = (*units, *always)
    trainable = {id(p) for group in groups for p in group.parameters.values()}
    frozen = {name: p for name, p in model.named_parameters() if id(p) not in trainable}
    return Groups(tuple(units), always, frozen)


def _require_something_to_train(units: Sequence[UnitGroup], adapter: Adapter) -> None:
    hint = "Leave it out of the method's `units`, or name more of adapter.targets."
    if not units:
        raise UserError(
            f"The model's layers have no parameter that adapter {adapter.name!r} trains.", hint
        )
    for unit in units:
        if not unit.parameters:
            raise UserError(
                f"The unit {unit.name} has no parameter that adapter {adapter.name!r} trains.", hint
            )


_Chosen = Iterator[tuple[str, str, int, dict[str, nn.Parameter]]]
"""Name, kind, depth and parameters of each unit, adapters and what they adapt included."""


def _parts(parts: ModelParts, units: tuple[UnitKind, ...]) -> _Chosen:
    def beside(unit: UnitKind) -> dict[str, nn.Parameter]:
        return {n: p for part in PARTS_OF_UNIT[unit] for n, p in parts.parts[part].items()}

    if "embed" in units:
        yield "embed", "embed", -1, beside("embed")
    if "layers" in units:
        for index, layer in enumerate(parts.layer_parameters):
            yield f"layer.{index}", "layer", index, layer
    if "head" in units and (head := beside("head")):
        yield "head", "head", len(parts.layers), head


def _modules(parts: ModelParts, adapter: Adapter) -> _Chosen:
    """The modules of layers that have a weight matrix and something to train."""
    for index, layer in enumerate(parts.layer_parameters):
        modules: dict[str, dict[str, nn.Parameter]] = {}
        for name, parameter in layer.items():
            modules.setdefault(adapter.module_of(name), {})[name] = parameter
        for module, parameters in modules.items():
            is_matrix = any(parameter.dim() >= 2 for parameter in parameters.values())
            if is_matrix and any(map(adapter.trains, parameters)):
                kind = module.removeprefix(f"{parts.decoder_path}.{index}.")
                yield f"layer.{index}.{kind}", kind, index, parameters
