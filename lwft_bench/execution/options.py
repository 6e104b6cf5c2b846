"""How to run a suite: what is no part of a cell's identity."""

from __future__ import annotations

from dataclasses import dataclass

from lwft_bench.execution.ray_cluster import RayOptions
from lwft_bench.execution.slurm import SlurmOptions
from lwft_bench.results.claims import LEASE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run: no part of a cell's identity.

    Nothing measured depends on it but time and, through the threads of a cell, the last bits.
    """

    workers: int | None = None
    """Cells at once. None: one a core, or one alone where there is an accelerator; with `devices`, one
    a device."""
    devices: str | None = None
    """Devices that cells are shared out on, one at a time on each, and seeing it alone: "0,1,2" or
    "all"; "cpu": cells see none. None: cells see all and run on the first."""
    devices_per_cell: int = 1
    """Devices that a cell has, which train it together, one process on each."""
    share_bytes: int | None = None
    """Several cells at once on a device, as long as their plans say that they need no more of it
    together. Their throughput is then marked as not comparable."""
    retry_failed: bool = False
    save_weights: bool = False
    """Keep each cell's fine-tuned model in its folder."""
    reuse: bool = True
    """Take scores of cells with the same weights that are evaluated alike: of this run, and of an
    untrained model those that any run has kept. False: every cell is evaluated."""
    hang_seconds: float = 1800.0
    """A cell that tells nothing for so long is killed."""
    stop_seconds: float = 30.0
    """What cells have for their checkpoints when they are asked to stop."""
    lease_seconds: float = LEASE_SECONDS
    """A runner on another machine that shows no life for twice as long is stood in for."""
    wait: bool = True
    """Wait for cells that other runs of the directory have, to stand in for one that dies."""
    slurm: SlurmOptions | None = None
    """Have jobs in a Slurm queue run the cells; this run watches them."""
    ray: RayOptions | None = None
    """Have cells run as tasks of a Ray cluster, whose nodes share the directory."""
    run_cell: str = "lwft_bench.cell.run:run_cell"
    """The "module:function" that runs a cell."""
    visible: str = "lwft_bench.execution.devices:visible_devices"
    """The "module:function" that tells which devices there are."""
    needs: str = "lwft_bench.planning.needs:bytes_needed"
    """The "module:function" that tells what cells need of a device."""
    check: str = "lwft_bench.preflight.cells:check_cells"
    """The "module:function" that checks cells before any of them runs; "": none does."""
    loggers: tuple[str, ...] = ()
    """Which of "tensorboard", "wandb" and "trackio" take metrics while cells run."""
    timing: bool = True
    """Time the methods against each other once every cell has ended, as the suite says."""
    preload: tuple[str, ...] = ("lwft_bench.execution.preload",)
    """Modules that the cells' server imports once for all of them."""

    @property
    def processes_per_cell(self) -> int:
        """That train it together."""
        return self.devices_per_cell if self.ray is None else max(1, int(self.ray.gpus or 1))
