"""Where a run's cells run: on this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lwft_bench.execution.company import SharedRun
from lwft_bench.execution.executor import Executor
from lwft_bench.execution.local_places import local_executor
from lwft_bench.execution.options import RunOptions
from lwft_bench.execution.pool import Server
from lwft_bench.execution.ray_cluster import Cluster, RayOptions
from lwft_bench.execution.ray_executor import RayExecutor
from lwft_bench.execution.worker import PreflightJob
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError


def executor_of(
    place: SharedRun, cells: Sequence[Cell], options: RunOptions, say: Callable[[str], None]
) -> Executor:
    """What runs the cells, which is told in words.

    Args:
        cells: All of the suite's and not those that are left, so that a resumed run computes like the
            first.

    Raises:
        UserError: It cannot.
    """
    server = Server(options.preload)
    if options.ray is not None:
        return _on_ray(place, cells, options, options.ray, say)
    executor, told = local_executor(server, cells, options)
    say(told)
    return executor


def require_place(options: RunOptions) -> None:
    """Finds out whether cells can run where they are to.

    Raises:
        UserError: They cannot.
    """
    if options.ray is None:
        return
    if options.devices is not None or options.share_bytes or options.devices_per_cell > 1:
        raise UserError(
            "--devices, --devices-per-cell and --share are for the devices of one machine",
            "on a Ray cluster --gpus says how many a cell has; a half is one that two cells share",
        )
    Cluster(options.ray)


def _on_ray(
    place: SharedRun,
    cells: Sequence[Cell],
    options: RunOptions,
    asked: RayOptions,
    say: Callable[[str], None],
) -> RayExecutor:
    cluster = Cluster(asked)
    for warning in cluster.require_fit([place.claims.own_file.resolve(), *_plugins(cells)]):
        say(f"warning: {warning}")
    share = cluster.share
    needs: dict[str, int] = {}
    if not share.gpus:  # what is planned is a device's memory, which is then the host's
        server = Server(options.preload)
        needs = server.findings(PreflightJob(tuple(cells), options.needs))
        needs = {cell_id: number for cell_id, number in needs.items() if cluster.has_memory(number)}
    say(
        f"Ray cluster of {len(cluster.nodes)} nodes: "
        f"{options.workers or cluster.num_cells} at a time, {share.cpus} CPU threads"
        + (f" and {share.gpus:g} GPUs each" if share.gpus else " each")
    )
    return RayExecutor(
        cluster,
        place.store.directory,
        lambda: place.claims.own_file,
        options.preload,
        options.workers,
        needs,
    )


def _plugins(cells: Sequence[Cell]) -> list[Path]:
    return list({Path(plugin): None for cell in cells for plugin in cell.plugins})
