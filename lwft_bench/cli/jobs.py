"""What the jobs of a queue run: this command, without what asked for the jobs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lwft_bench.execution.slurm import SlurmOptions
from lwft_bench.schema.errors import UserError

_OF_THE_QUEUE = ("--executor", "--jobs", "--partition", "--time", "--gpus", "--cpus", "--slurm")


def job_options(out: Path, more: Sequence[str], *, gpus: int, **asked: Any) -> SlurmOptions:
    """What to ask the queue for.

    Args:
        more: Further parameters, as `KEY=VALUE`.

    Raises:
        UserError: One of them is none.
    """
    if wrong := [text for text in more if not text.partition("=")[0] or "=" not in text]:
        found = ", ".join(map(repr, wrong))
        raise UserError(f"--slurm: expected KEY=VALUE, found {found}")
    parameters = dict(text.split("=", 1) for text in more)
    command = (sys.executable, "-m", "lwft_bench", *job_arguments(sys.argv[1:], out, gpus))
    return SlurmOptions(command=command, more=parameters, gpus=gpus, **asked)


def whole(gpus: float | None) -> int:
    """GPUs of a job; one where nothing is said.

    Raises:
        UserError: It is not a whole number.
    """
    if gpus is not None and gpus != int(gpus):
        raise UserError(f"--gpus: a job has a whole number of them, found {gpus:g}")
    return 1 if gpus is None else int(gpus)


def job_arguments(arguments: Sequence[str], out: Path, gpus: int) -> list[str]:
    """The arguments of the run that a job is."""
    kept: list[str] = []
    dropped = False
    for word in arguments:
        name, given, _ = word.partition("=")
        if dropped:
            dropped = False
        elif name in (*_OF_THE_QUEUE, "--out"):
            dropped = not given
        elif word != "--dry-run":
            kept.append(word)
    devices = ["--devices", "all"] if gpus > 1 and "--devices" not in kept else []
    return [*kept, "--out", str(out.resolve()), "--no-wait", *devices]
