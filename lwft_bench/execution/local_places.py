"""How many cells run at once on this machine, and on which of its devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lwft_bench.execution.devices import HIDDEN, Devices, Placement, Visible, chosen_devices
from lwft_bench.execution.local import LocalExecutor
from lwft_bench.execution.options import RunOptions
from lwft_bench.execution.pool import Server
from lwft_bench.execution.worker import PreflightJob
from lwft_bench.memory.load import num_cores
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError


def local_executor(
    server: Server, cells: Sequence[Cell], options: RunOptions
) -> tuple[LocalExecutor, str]:
    """What runs the cells here, and what it is in words.

    Raises:
        UserError: A device is not there, or no device is named that could be shared or a cell could
            have several of.
    """
    each = options.devices_per_cell
    if options.devices in (None, "cpu"):
        if options.share_bytes is not None:
            raise UserError("--share is for devices", "name them with --devices, such as all")
        hidden = options.devices == "cpu"
        if each > 1 and not hidden:
            raise UserError(
                "--devices-per-cell is for devices that are named",
                "--devices all; --devices cpu has a cell trained by so many processes of the CPU",
            )
        workers = options.workers or max(1, _num_workers(cells, server, hidden) // each)
        threads = _threads(workers)
        text = f"{workers} at a time, {threads} CPU threads each; loading torch for all of them"
        placement = replace(HIDDEN, processes=each) if hidden else Placement()
        return LocalExecutor(server, workers, threads, placement=placement), text
    assert options.devices is not None
    visible: Visible = server.findings(PreflightJob((), options.visible))
    chosen = chosen_devices(options.devices, visible)
    if each > 1 and (options.share_bytes is not None or len(chosen) < each):
        raise UserError(
            f"--devices-per-cell {each}: "
            + (
                f"there are {len(chosen)}" if options.share_bytes is None else "--share gives parts"
            ),
            "name as many with --devices, or give each cell fewer",
        )
    if options.share_bytes is None:
        workers = min(options.workers or len(chosen), len(chosen) // each)
        devices = Devices(visible, chosen, per_cell=each)
        how = f"each cell on {each} of them" if each > 1 else "one cell at a time on each"
    else:
        needs: dict[str, int] = server.findings(PreflightJob(tuple(cells), options.needs))
        workers = options.workers or max(num_cores(), len(chosen))
        devices = Devices(visible, chosen, options.share_bytes, lambda cell: needs.get(cell.id))
        how = "cells together on each as their plans allow; their throughput is not comparable"
    threads = _threads(workers)
    names = f"device{'s' if len(chosen) > 1 else ''} {', '.join(chosen)}"
    text = f"{names}: {how}, {threads} CPU threads each; loading torch for all of them"
    return LocalExecutor(server, workers, threads, devices), text


def _threads(workers: int) -> int:
    return max(1, num_cores() // workers)


def _num_workers(cells: Sequence[Cell], server: Server, hidden: bool) -> int:
    on_cpu = hidden or all(cell.training.device == "cpu" for cell in cells)
    if not on_cpu and server.accelerator() is not None:
        return 1
    return min(num_cores(), len(cells))
