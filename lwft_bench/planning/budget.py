"""Whether a plan fits a device, and the smallest change that makes it fit. Light to import."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lwft_bench.config.models import Cell, TrainingConfig
from lwft_bench.errors import UserError

if TYPE_CHECKING:
    from lwft_bench.planning.plan import CellPlan, Needed

CONTEXT_BYTES = 768 * 2**20
"""Of the driver, for a process. Users report 700 to 800 MB for a process with one small tensor
(discuss.pytorch.org, threads 73021 and 81330); it depends on device and driver."""

WORKSPACE_BYTES = 2 * 32 * 2**20
"""cuBLAS: 32 MiB on Hopper, 8 MiB before (getChosenWorkspaceSize in torch's CublasHandlePool.cpp), for
each of the two threads that run forward and backward passes."""

FRAGMENTED_SHARE = 0.02
"""Of the accounted bytes: what the caching allocator reserves and cannot hand out. A choice; no source
gives a figure that holds for all models."""

_UNITS = {
    "": 1,
    "b": 1,
    **{f"{prefix}b": 1000 ** (power + 1) for power, prefix in enumerate("kmgt")},
    **{f"{prefix}ib": 1024 ** (power + 1) for power, prefix in enumerate("kmgt")},
}


def parse_size(text: str) -> int:
    """Bytes of `24GiB` (2**30), `24 GB` (10**9) or `25769803776`.

    Raises:
        UserError: It is no size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None or not (size := int(float(match[1]) * unit)):
        raise UserError(
            f"{text!r} is no size; expected a number of bytes, or one with a unit, such as 24GiB"
        )
    return size


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a device holds besides the accounted bytes: an allowance, not part of the plan."""

    context: int
    workspaces: int
    fragmentation: int

    @classmethod
    def of(cls, needed: Needed) -> Allowance:
        fragmented = round(FRAGMENTED_SHARE * needed.rounded_peak_bytes)
        return cls(CONTEXT_BYTES, WORKSPACE_BYTES, fragmented)

    @property
    def total(self) -> int:
        return self.context + self.workspaces + self.fragmentation


def fits(needed: Needed, budget: int) -> bool:
    """Whether the peak, in the allocator's blocks, and the allowance are within the budget."""
    return needed.rounded_peak_bytes + Allowance.of(needed).total <= budget


Change = dict[str, Any]
"""Key path, as `--set` takes it -> value."""


def smallest_change(
    cell: Cell, needed: Needed, budget: int, plan: Callable[[Cell], CellPlan]
) -> tuple[Change, CellPlan] | None:
    """The fewest settings that make the cell fit, and its plan with them; None if nothing does.

    Of as few, those come first that cost least: recomputing activations, updating in the backward
    pass, streaming state, accumulating over smaller micro-batches (the largest that fit).

    Args:
        needed: By the cell as it is.
    """
    candidates = [
        (change, changed)
        for change, changed in _changed(cell)
        if _least(needed, change) + CONTEXT_BYTES <= budget
    ]
    # With and without accumulation, the combination of most changes comes last.
    most = {"training.micro_batch_size" in change: changed for change, changed in candidates}
    if not any(_fits(plan(changed), budget) for changed in most.values()):
        return None
    for change, changed in candidates:
        planned = plan(changed)
        if _fits(planned, budget):
            return change, planned
    return None


def _fits(planned: CellPlan, budget: int) -> bool:
    return planned.needed is not None and fits(planned.needed, budget)


def _least(needed: Needed, change: Change) -> int:
    """What is needed in any case: spares planning changes that leave alone what is too much."""
    state = 0
    if "state_on_device" not in change:
        state = needed.component_peaks.get("optimizer_state", 0)
    gradients = 0
    if "training.update" not in change:
        gradients = needed.component_peaks.get("gradients", 0)
    return needed.component_peaks["weights"] + max(state, gradients)


def _changed(cell: Cell) -> Iterator[tuple[Change, Cell]]:
    """Every combination of changes that is valid, the smallest first."""
    options = _options(cell)
    for number in range(1, len(options) + 1):
        for chosen in combinations(options.items(), number):
            for values in product(*(values for _, values in chosen)):
                change = dict(zip((key for key, _ in chosen), values, strict=True))
                if (changed := _with(cell, change)) is not None:
                    yield change, changed


def _options(cell: Cell) -> dict[str, list[Any]]:
    training = cell.training
    options: dict[str, list[Any]] = {}
    if not training.checkpointing:
        options["training.checkpointing"] = [True]
    if training.update != "in_backward":
        options["training.update"] = ["in_backward"]
    if cell.method.state_on_device != "none":
        options["state_on_device"] = ["none"]
    size, sizes = training.micro_batch_size or training.batch_size, []
    while size > 1:
        size //= 2
        sizes.append(size)
    if sizes:
        options["training.micro_batch_size"] = sizes
    return options


def _with(cell: Cell, change: Change) -> Cell | None:
    """The cell with the change; None if its settings do not go together."""
    values = {
        key.removeprefix("training."): value
        for key, value in change.items()
        if key.startswith("training.")
    }
    try:
        training = TrainingConfig.model_validate(cell.training.model_dump() | values)
    except ValidationError:
        return None
    state = {key: value for key, value in change.items() if key == "state_on_device"}
    return cell.model_copy(
        update={"training": training, "method": cell.method.model_copy(update=state)}
    )
