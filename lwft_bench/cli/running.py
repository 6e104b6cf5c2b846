"""`lwft-bench run`: here, or in the jobs of a queue."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lwft_bench.cli.app import app
from lwft_bench.cli.arguments import (
    Debug,
    Methods,
    Models,
    Only,
    Plugins,
    SetOptions,
    SuiteName,
    names_in,
    numbers_in,
    suite_of,
)


class Retry(StrEnum):
    """Which cells run again."""

    FAILED = "failed"


class _Where(StrEnum):
    """Where cells run."""

    LOCAL = "local"
    SLURM = "slurm"
    RAY = "ray"


@app.command("run")
def run_command(
    suite: SuiteName,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Default: reports/<name of the suite>.")
    ] = None,
    plugin: Plugins = None,
    settings: SetOptions = None,
    only: Only = None,
    models: Models = None,
    methods: Methods = None,
    tasks: Annotated[str | None, typer.Option(metavar="A,B", help="Only these tasks.")] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="0,1", help="These seeds instead of the suite's.")
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", min=1, help="Cells at once.")] = None,
    devices: Annotated[
        str | None,
        typer.Option(metavar="0,1|all|cpu", help="Devices to share cells out on, one on each."),
    ] = None,
    devices_per_cell: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Devices that train a cell together, a process on each."
        ),
    ] = 1,
    share: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Several cells on a device while their plans say they fit into it."
        ),
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Leave when other runs have all that is left.")
    ] = False,
    executor: Annotated[
        _Where,
        typer.Option(help="Where cells run: here, in jobs of a Slurm queue or on a Ray cluster."),
    ] = _Where.LOCAL,
    address: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="Ray: which cluster; auto finds this machine's."),
    ] = "auto",
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Slurm: jobs at most.")] = 1,
    partition: Annotated[str | None, typer.Option(metavar="NAME", help="Slurm: of which.")] = None,
    minutes: Annotated[
        int, typer.Option("--time", metavar="MINUTES", min=5, help="Slurm: of a job.")
    ] = 60,
    gpus: Annotated[
        float | None,
        typer.Option(
            metavar="N", min=0, help="Slurm: of a job (1). Ray: of a cell; 0.5 is shared."
        ),
    ] = None,
    cpus: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Cores: of a job (8), or of a cell on Ray."),
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Slurm: account, qos, mem and so on. Repeatable."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Slurm: show the batch script and submit nothing.")
    ] = False,
    retry: Annotated[Retry | None, typer.Option(help="Run failed cells again.")] = None,
    save_weights: Annotated[
        bool, typer.Option("--save-weights", help="Keep the fine-tuned models.")
    ] = False,
    silence: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=1.0, help="Kill a cell that gives no sign of life for so long."
        ),
    ] = 1800.0,
    log: Annotated[
        str | None, typer.Option(metavar="A,B", help="Log to tensorboard, wandb or trackio.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Never ask the model hub; use what is cached.")
    ] = False,
    no_reuse: Annotated[
        bool,
        typer.Option("--no-reuse", help="Evaluate every cell; take no scores of equal models."),
    ] = False,
    no_timing: Annotated[
        bool, typer.Option("--no-timing", help="Do not time the methods against each other.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Run a suite: what is not done yet of it, and its report.

    Exit codes: 0 all cells done, 1 some failed, 2 bad input, 130 interrupted.
    """
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    loaded = suite_of(
        suite,
        settings,
        plugin,
        only=only,
        models=names_in(models),
        methods=names_in(methods),
        tasks=names_in(tasks),
        seeds=numbers_in(seeds),
    )
    loaded.require_runnable()
    from lwft_bench.cli.jobs import job_options, whole
    from lwft_bench.execution.options import RunOptions
    from lwft_bench.execution.runner import run_suite
    from lwft_bench.planning.budget import parse_size

    directory = out or Path("reports", loaded.name)
    queue = None
    if executor is _Where.SLURM:
        asked: dict[str, Any] = {"partition": partition, "minutes": minutes, "cpus": cpus or 8}
        queue = job_options(directory, slurm or [], gpus=whole(gpus), jobs=jobs, **asked)
        if dry_run:
            from lwft_bench.execution.slurm import JobArray

            typer.echo(JobArray(queue, directory).script())
            return
    cluster = None
    if executor is _Where.RAY:
        from lwft_bench.execution.ray_cluster import RayOptions

        cluster = RayOptions(address=address, gpus=gpus, cpus=cpus)
    options = RunOptions(
        slurm=queue,
        ray=cluster,
        wait=not no_wait,
        workers=workers,
        devices=devices,
        devices_per_cell=devices_per_cell,
        share_bytes=None if share is None else parse_size(share),
        retry_failed=retry is Retry.FAILED,
        save_weights=save_weights,
        hang_seconds=silence,
        loggers=names_in(log) or (),
        timing=not no_timing,
        reuse=not no_reuse,
    )
    raise typer.Exit(run_suite(loaded, directory, options))
