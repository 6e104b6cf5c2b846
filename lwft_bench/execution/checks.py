"""What can be found wrong with cells before the first of them starts."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence

from lwft_bench.execution.options import RunOptions
from lwft_bench.execution.pool import Server
from lwft_bench.execution.worker import PreflightJob
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.findings import Findings
from lwft_bench.training.ranks import require_processes, require_shares


def check_processes(cells: Iterable[Cell], world: int, findings: Findings) -> None:
    """Notes which of the cells so many processes cannot train."""
    for cell in cells:
        for require in (require_processes, require_shares):
            with findings.collected():
                require(cell, world)


def check_in_full(
    cells: Sequence[Cell], options: RunOptions, here: bool, findings: Findings
) -> None:
    """Notes what `options.check` finds.

    Args:
        here: Whether in this process, and not in one of its own.
    """
    if not cells or not options.check:
        return
    if here:
        module, _, function = options.check.partition(":")
        check: Callable[[Sequence[Cell]], Findings] = getattr(
            importlib.import_module(module), function
        )
        findings.add(check(cells))
    else:
        job = PreflightJob(tuple(cells), options.check)
        findings.add(Server(options.preload).findings(job))
