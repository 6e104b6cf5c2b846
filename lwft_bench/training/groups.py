"""A model's trainable parameters as the trainer handles them: units, and parts beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from lwft_bench.adapters.base import Adapter
from lwft_bench.models.parts import PARTS, ModelParts
from lwft_bench.models.sharded import own_rows
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.units import PARTS_OF_UNIT, ChunkUnits, UnitKind
from lwft_bench.strategies.base import Unit
from lwft_bench.training.chunks import cut_rows


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that are trained, kept or reset together.

    unit: its index among the units, None for a part. restarts: whether its state begins anew at
    every selection, even at one that changes nothing. rows: of the parameters that belong to it in
    part only, which rows do.
    """

    name: str
    unit: int | None
    parameters: dict[str, nn.Parameter]
    restarts: bool = False
    rows: dict[str, slice] = field(default_factory=dict)

    @property
    def sizes(self) -> list[int]:
        """Elements of each parameter that are the group's, over all processes."""
        if not self.rows:
            return [parameter.numel() for parameter in self.parameters.values()]
        values = enumerate(self.parameters.values())
        return [self.piece(index, parameter.detach()).numel() for index, parameter in values]

    @property
    def num_parameters(self) -> int:
        return sum(self.sizes)

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The group's own elements of each parameter, as views of them: those that are here."""
        values = enumerate(self.parameters.values())
        return [self.here(index, parameter) for index, parameter in values]

    @property
    def row_slices(self) -> list[slice | None]:
        """Of each parameter; None where all of it is the group's."""
        return [self.rows.get(name) for name in self.parameters]

    def piece(self, index: int, tensor: torch.Tensor) -> torch.Tensor:
        """Of a tensor in the shape of parameter `index`, the group's rows."""
        rows = self.row_slices[index] if self.rows else None
        return tensor if rows is None else tensor[rows]

    def here(self, index: int, tensor: torch.Tensor) -> torch.Tensor:
        """The same without what other processes hold."""
        return own_rows(self.piece(index, tensor))


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
    in neither.
    """

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
    if isinstance(method.units, ChunkUnits):
        return _chunks(model, parts, method, method.units.chunks, adapter)
    units: list[UnitGroup] = []
    for name, kind, depth, parameters in _chosen(parts, method, adapter):
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
    trained_parts: dict[str, dict[str, nn.Parameter]] = {
        part: dict(parts.parts[part]) for part in PARTS if part in wanted
    }
    if "norms" in wanted:
        in_units = {name for unit in units for name in unit.parameters}
        layers = {n: p for layer in parts.layer_parameters for n, p in layer.items()}
        trained_parts["norms"] = {n: p for n, p in layers.items() if n not in in_units}
    always = tuple(
        Group(
            part,
            None,
            found,
            restarts=method.always_train_state_policy == "restart",
        )
        for part, parameters in trained_parts.items()
        if (found := {n: p for n, p in parameters.items() if n not in without_gradient})
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


def _chosen(parts: ModelParts, method: MethodConfig, adapter: Adapter) -> _Chosen:
    kinds = method.unit_kinds

    def beside(kind: UnitKind) -> dict[str, nn.Parameter]:
        return {n: p for part in PARTS_OF_UNIT[kind] for n, p in parts.parts[part].items()}

    if "embed" in kinds:
        yield "embed", "embed", -1, beside("embed")
    if "layers" in kinds:
        for index, layer in enumerate(parts.layer_parameters):
            yield f"layer.{index}", "layer", index, layer
    if "modules" in kinds:
        yield from _modules(parts, adapter)
    if "tensors" in kinds:
        yield from _tensors(parts, adapter)
        if "head" not in kinds:
            for name, parameter in beside("tensors").items():
                yield (
                    "final_norm." + name.rpartition(".")[2],
                    "final_norm",
                    len(parts.layers),
                    {name: parameter},
                )
    if "head" in kinds and (head := beside("head")):
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


def _tensors(parts: ModelParts, adapter: Adapter) -> _Chosen:
    """Each parameter of a layer that can be trained."""
    for index, layer in enumerate(parts.layer_parameters):
        for name, parameter in layer.items():
            if adapter.trains(name):
                kind = name.removeprefix(f"{parts.decoder_path}.{index}.")
                yield f"layer.{index}.{kind}", kind, index, {name: parameter}


def _chunks(
    model: nn.Module, parts: ModelParts, method: MethodConfig, num_chunks: int, adapter: Adapter
) -> Groups:
    """Units that are pieces of the stream of all trained parameters, in the model's own order."""
    stream = {n: p for n, p in model.named_parameters() if adapter.trains(n)}
    depths = {id(p): len(parts.layers) for p in stream.values()}
    depths |= {id(p): -1 for part in PARTS_OF_UNIT["embed"] for p in parts.parts[part].values()}
    for index, layer in enumerate(parts.layer_parameters):
        depths |= {id(p): index for p in layer.values()}
    sizes = [(p.numel() * p.element_size(), p.shape[0]) for p in stream.values()]
    chunks = zip(*cut_rows(sizes, num_chunks), strict=True)
    units = []
    for number, cuts in enumerate(chunks):
        rows = {
            name: slice(*cut) for name, cut in zip(stream, cuts, strict=True) if cut[0] < cut[1]
        }
        if not rows:
            raise UserError(
                f"units: of {num_chunks} chunks, chunk {number} has no row of any parameter.",
                hint="Set units.chunks to fewer.",
            )
        held = {name: stream[name] for name in rows}
        units.append(
            UnitGroup(
                f"chunk.{number}",
                number,
                held,
                restarts=method.state_policy == "restart",
                rows={n: r for n, r in rows.items() if r != slice(0, stream[n].shape[0])},
                kind="chunk",
                depth=min(depths[id(p)] for p in held.values()),
                pretrained={n: p for n, p in held.items() if not adapter.adds(n)},
            )
        )
    frozen = {n: p for n, p in model.named_parameters() if n not in stream}
    return Groups(tuple(units), (), frozen)
