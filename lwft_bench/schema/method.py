"""A method card: what is trained, by what, and what becomes of its state."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from lwft_bench.schema.base import Config, Name, Named
from lwft_bench.schema.units import (
    PARTS_OF_UNIT,
    ChunkUnits,
    Part,
    TrainedPart,
    UnitKind,
    UnselectedConfig,
    one_kind_in_layers,
)

StatePolicy = Literal["keep", "reset", "restart"]


class Provenance(Config):
    """Where a value comes from, and why it is what it is."""

    source: Literal["paper", "code", "summary", "inference", "choice"]
    """`summary`: a language model's summary of the paper, in which single values may be wrong."""
    note: str = ""


class MethodConfig(Config):
    """A method card: a named, citable combination of adapter, strategy, optimizer and state."""

    name: Name
    title: str
    citation: str
    description: str = ""
    trains: bool = True
    """False: the untrained base model, a row of its own."""
    adapter: Named = Named(name="full")
    strategy: Named = Named(name="all")
    optimizer: Named = Named(name="adamw")
    always_train: Literal["all"] | tuple[TrainedPart, ...] = ()
    """Parts trained at every step besides the selected units. `norms`, beside `units: modules`: what
    layers have in no module with a weight matrix. `all`: all parts beside the layers."""
    units: (
        Literal["modules", "tensors"]
        | ChunkUnits
        | Annotated[tuple[UnitKind, ...], Field(min_length=1), AfterValidator(one_kind_in_layers)]
    ) = ("layers",)
    """What the strategy chooses among: decoder `layers`, or in their place `modules`, each module of a
    layer that has a weight matrix, or `tensors`, each parameter by itself, norm gains and the final
    norm's included; beside them `embed` (with position tables and the like) and `head` (with the
    final norm). Or `{chunks: K}`: K pieces of all that is trained."""
    state_policy: StatePolicy = "keep"
    """What happens to a unit's optimizer state when it is no longer selected. `restart` is `reset`
    that also clears the state of a unit selected anew while it is still selected."""
    always_train_state_policy: StatePolicy = "keep"
    """What happens to the always-trained parts' state: `reset` clears it when other units are
    selected than before, `restart` at every selection after the first."""
    state_on_device: Literal["all", "none"] | PositiveInt = "all"
    """`all`: no offload; `none`: offloaded and streamed; or a budget in bytes."""
    lr_clock: Literal["step", "sweep", "first_of_sweep"] = "step"
    """When the learning rate moves on: at every step; or, for strategies that pass over all units, at
    the first step of each pass, to what the schedule has for that step (`sweep`), or by one step of
    the schedule at each step of a pass's first selection (`first_of_sweep`), as the code of HiFT and
    ChunkFT does: of K units it sees the first K-th of the schedule."""
    step_counter: Literal["unit", "tensor"] = "unit"
    """Whose updates an optimizer's bias correction counts, where a tensor is in several units: those of
    the unit's own rows, or, as ChunkFT's code does, those of all rows together."""
    lr_warmup_after_selection: NonNegativeInt = 0
    """Steps over which the learning rate rises to what the schedule says, anew after each selection."""
    unselected: UnselectedConfig | None = None
    """What moves the units that are not selected. None: they keep their bits."""
    training: dict[str, Any] = {}
    """Training options this method needs, under those of the suite's overrides."""
    provenance: dict[str, Provenance] = {}
    """Key path (e.g. `strategy.num_active`) -> where the value comes from."""
    unknown: tuple[str, ...] = ()
    """What no source says, and what was assumed."""

    @property
    def unit_kinds(self) -> tuple[UnitKind, ...]:
        """Of chunks, none."""
        if isinstance(self.units, ChunkUnits):
            return ()
        return (self.units,) if isinstance(self.units, str) else self.units

    @model_validator(mode="after")
    def _parts_are_units_or_always_trained(self) -> Self:
        always = set(get_args(Part)) if self.always_train == "all" else set(self.always_train)
        if isinstance(self.units, ChunkUnits) and always:
            raise ValueError("always_train has parts, which units: chunks holds: leave them out")
        for unit in self.unit_kinds:
            if both := sorted(always.intersection(PARTS_OF_UNIT[unit])):
                raise ValueError(
                    f"always_train has {', '.join(both)}, which units: {unit} lets the strategy "
                    "choose: leave it out of one of them"
                )
        if self.step_counter == "tensor" and self.state_policy != "keep":
            raise ValueError("step_counter: tensor goes with state_policy: keep only")
        if "norms" in always and "modules" not in self.unit_kinds:
            raise ValueError(
                "always_train has norms, which are parameters of layers that `units: modules` leaves "
                "out; with other units they are in one"
            )
        return self
