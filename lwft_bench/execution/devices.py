"""Which devices cells compute on, and which cell has which now."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError

VARIABLES = {"cuda": "CUDA_VISIBLE_DEVICES", "xpu": "ZE_AFFINITY_MASK"}
"""What tells a process's libraries which devices there are, before they look for them."""

_BROKEN = re.compile(
    "uncorrectable (ECC|NVLink) error|GPU is lost|fallen off the bus|no CUDA-capable device"
    "|devices? is/are busy or unavailable|hardware error|CUDA error: unknown error|DEVICE_LOST"
)
"""Of messages of CUDA and Level Zero: what a program cannot be the cause of."""


@dataclass(frozen=True, slots=True)
class Visible:
    """The devices that this process's children would find.

    kind: torch's name of the accelerator; "cpu" without one. ids: as the variable of `VARIABLES` wants
    them, so that what a scheduler has hidden stays hidden.
    """

    kind: str
    ids: tuple[str, ...]


def visible_devices(_: Sequence[Cell] = ()) -> Visible:
    """The devices that torch finds. Loads torch, so it is asked in a process of its own."""
    import torch

    if not torch.accelerator.is_available():
        return Visible("cpu", ())
    device = torch.accelerator.current_accelerator()
    assert device is not None
    given = os.environ.get(VARIABLES.get(device.type, ""), "")
    number = torch.accelerator.device_count()
    ids = tuple(part.strip() for part in given.split(",") if part.strip())[:number]
    return Visible(device.type, ids or tuple(map(str, range(number))))


def device_is_broken(error: BaseException) -> bool:
    """Whether an error is the device's, and the cell has nothing to do with it."""
    return isinstance(error, RuntimeError) and bool(_BROKEN.search(str(error)))


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a cell computes. devices: none where it sees what there is. shared: others may compute
    on them meanwhile, so that its speed says nothing. processes: that train it together, one a device.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    shared: bool = False
    processes: int = 1


class Devices:
    """The devices of a run, and the cells on them.

    Args:
        share_bytes: What cells may need of a device together; None: one cell a device at a time.
        need: Bytes that a cell needs; None if that is not known, and it has a device to itself.
        per_cell: Devices that a cell has; several, it has to itself.
    """

    def __init__(
        self,
        visible: Visible,
        chosen: Sequence[str],
        share_bytes: int | None = None,
        need: Callable[[Cell], int | None] = lambda cell: None,
        per_cell: int = 1,
    ) -> None:
        self._variable = VARIABLES[visible.kind]
        self._share_bytes = share_bytes
        self._need = need
        self._per_cell = per_cell
        self._cells: dict[str, dict[str, int | None]] = {device: {} for device in chosen}

    @property
    def number(self) -> int:
        """Of those that have not failed."""
        return len(self._cells)

    @property
    def enough(self) -> bool:
        """Whether so many are left as a cell has."""
        return self.number >= self._per_cell

    def devices_for(self, cell: Cell) -> tuple[str, ...]:
        """Those with the fewest cells that have room; none if there are not enough of them."""
        fitting = [device for device in self._cells if self._fits(device, cell)]
        fitting.sort(key=lambda device: len(self._cells[device]))
        return tuple(fitting[: self._per_cell]) if len(fitting) >= self._per_cell else ()

    def place(self, cell: Cell) -> Placement:
        """Give the cell devices, which have room."""
        devices = self.devices_for(cell)
        assert devices
        need = self._share(cell)
        for device in devices:
            self._cells[device][cell.id] = need
        environment = {self._variable: ",".join(devices)}
        return Placement(environment, devices, need is not None, len(devices))

    def free(self, cell_id: str) -> None:
        """The cell has ended."""
        for cells in self._cells.values():
            cells.pop(cell_id, None)

    def retire(self, devices: Sequence[str]) -> None:
        """Give these to no cell any more."""
        for device in devices:
            self._cells.pop(device, None)

    def _share(self, cell: Cell) -> int | None:
        """What the cell needs of a device beside others; None if it is to have one to itself."""
        if self._share_bytes is None:
            return None
        need = self._need(cell)
        return need if need is not None and need <= self._share_bytes else None

    def _fits(self, device: str, cell: Cell) -> bool:
        taken = self._cells[device]
        if not taken:
            return True
        need = self._share(cell)
        if need is None or self._share_bytes is None or None in taken.values():
            return False
        return need + sum(filter(None, taken.values())) <= self._share_bytes


def chosen_devices(wanted: str, visible: Visible) -> list[str]:
    """The devices that an option names: `all`, or numbers with commas between.

    Raises:
        UserError: It names none, or one that is not there.
    """
    known = f"there are {len(visible.ids)} here ({visible.kind})"
    if wanted != "all" and not re.fullmatch(r"\d+(,\d+)*", wanted):
        raise UserError(
            f"--devices: expected all, cpu or numbers such as 0,1, found {wanted!r}", known
        )
    if not visible.ids or visible.kind not in VARIABLES:
        raise UserError(
            f"--devices {wanted}: there is no accelerator here that cells could be shared out on",
            "--devices cpu, or no --devices, computes on the CPU",
        )
    if wanted == "all":
        return list(visible.ids)
    numbers = [int(part) for part in dict.fromkeys(wanted.split(","))]
    if missing := [number for number in numbers if number >= len(visible.ids)]:
        raise UserError(f"--devices: there is no device {', '.join(map(str, missing))}", known)
    return [visible.ids[number] for number in numbers]


HIDDEN = Placement(dict.fromkeys(VARIABLES.values(), ""))
"""Of a cell that is to find no accelerator."""
