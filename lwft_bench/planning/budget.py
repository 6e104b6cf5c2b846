"""Whether a plan fits a device, and the smallest change that makes it fit. Light to import."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lwft_bench.schema.cell import Cell, TrainingConfig
from lwft_bench.schema.errors import UserError

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

    One more change is taken to add no memory, so that what is too much with all of them is not
    planned with some. Accumulation is an exception, since gradients then outlive a backward pass:
    smaller micro-batches are compared with larger ones alone.

    Args:
        needed: By the cell as it is.
    """
    alternatives = [
        changes
        for changes in _changed(cell)
        if _least(needed, changes[0][0]) + CONTEXT_BYTES <= budget
    ]
    too_much: list[Change] = []

    def fits_with(candidate: tuple[Change, Cell]) -> bool:
        change, changed = candidate
        if any(_goes_further(more, change) for more in too_much):
            return False
        planned = plan(changed)
        if planned.needed is not None and fits(planned.needed, budget):
            return True
        too_much.append(change)
        return False

    # With and without accumulation, the combination of most changes comes last. These are tried
    # second: the first change that is not ruled out is often enough.
    most = {"training.micro_batch_size" in changes[-1][0]: changes[-1] for changes in alternatives}
    for number, changes in enumerate(alternatives):
        if number == 1 and not any([fits_with(candidate) for candidate in most.values()]):
            return None
        first = bisect_left(changes, True, key=fits_with)
        if first < len(changes):
            change, changed = changes[first]
            return change, plan(changed)
    return None


def _goes_further(more: Change, change: Change) -> bool:
    """Whether `more` has all of `change`, and both or neither accumulate."""
    size = "training.micro_batch_size"
    return (
        change.keys() <= more.keys()
        and (size in change) == (size in more)
        and more.get(size, 0) <= change.get(size, 0)
    )


def _least(needed: Needed, change: Change) -> int:
    """What is needed in any case: spares planning changes that leave alone what is too much."""
    state = 0
    if "state_on_device" not in change:
        state = needed.component_peaks.get("optimizer_state", 0)
    gradients = 0
    if "training.update" not in change:
        gradients = needed.component_peaks.get("gradients", 0)
    return needed.component_peaks["weights"] + max(state, gradients)


def _changed(cell: Cell) -> Iterator[list[tuple[Change, Cell]]]:
    """Every combination of changes that is valid, the fewest first.

    Those of one list differ in the size of micro-batches alone, the largest first.
    """
    options = _options(cell)
    for number in range(1, len(options) + 1):
        for chosen in combinations(options.items(), number):
            changes = [
                dict(zip((key for key, _ in chosen), values, strict=True))
                for values in product(*(values for _, values in chosen))
            ]
            valid = [(change, _with(cell, change)) for change in changes]
            if alike := [(change, changed) for change, changed in valid if changed is not None]:
                yield alike


def _options(cell: Cell) -> dict[str, list[Any]]:
    training = cell.training
    options: dict[str, list[Any]] = {}
    if not training.checkpointing:
        options["training.checkpointing"] = [True]
    if training.update != "in_backward" and not training.sharded:
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
