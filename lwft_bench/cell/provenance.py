"""What a result was made with: versions, machine, commit, command, times. No host name."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import lwft_bench
from lwft_bench.cell.selftest_verdict import verdict
from lwft_bench.memory.load import num_cores
from lwft_bench.training.ranks import launched

DISTRIBUTIONS = ("torch", "transformers", "lm_eval", "datasets", "peft", "numpy")

SHARED_DEVICE = "LWFT_BENCH_SHARED_DEVICE"
"""Set in the environment of a cell that had no device to itself."""

COMMIT = "LWFT_BENCH_COMMIT"
"""Set where the package is a copy, made for a run on another machine: what `commit` says there."""

VERIFIED_DEVICES = "docs/device.md"
"""Says what was verified on which accelerator, and what was not."""


def provenance(started: datetime) -> dict[str, Any]:
    """Provenance of a result that is about to be written.

    The accelerator is named only where torch is loaded, so that asking never loads it.

    Args:
        started: When the cell's work began, in UTC.
    """
    found = versions()
    device = accelerator() if "torch" in sys.modules else None
    engine = {}
    if device:
        # As the self-test does: a distribution's version need not say which build it is.
        build = str(sys.modules["torch"].__version__)
        engine = {"offload_engine": verdict(device, build), "verified_devices": VERIFIED_DEVICES}
    return {
        "versions": found,
        "commit": commit(),
        "platform": platform.platform(),
        "cpu": cpu(),
        "cores": num_cores(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "accelerator": device,
        **engine,
        **({"shared_device": True} if os.environ.get(SHARED_DEVICE) else {}),
        "command": command_line(),
        "started": started.isoformat(timespec="seconds"),
        "finished": now().isoformat(timespec="seconds"),
    }


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def command_line() -> str:
    """The command that is running, as one would type it."""
    program = Path(sys.argv[0]).name
    name = ["python", "-m", "lwft_bench"] if program == "__main__.py" else [program]
    if launched():
        ranks = os.environ.get("LOCAL_WORLD_SIZE", "1")
        name = ["torchrun", "--nproc-per-node", ranks, "-m", "lwft_bench"]
    return os.fsencode(shlex.join([*name, *sys.argv[1:]])).decode("utf-8", "replace")


def versions() -> dict[str, str | None]:
    """Versions of the distributions that numbers depend on; None where one is not installed."""
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "lwft-bench": lwft_bench.__version__,
    }
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def commit() -> dict[str, Any] | None:
    """The commit of the checkout this package runs from, and whether its code differs from it."""
    if given := os.environ.get(COMMIT):
        known: dict[str, Any] | None = json.loads(given)
        return known
    package = Path(lwft_bench.__file__).parent
    if not (package.parent / ".git").exists():
        return None
    head = _git(package, "rev-parse", "HEAD")
    if head is None:
        return None
    return {"commit": head, "dirty": bool(_git(package, "status", "--porcelain", "--", "."))}


def accelerator() -> str | None:
    """The name of the accelerator torch would use; loads torch."""
    import torch

    if not torch.accelerator.is_available():
        return None
    device = torch.accelerator.current_accelerator()
    assert device is not None
    return torch.cuda.get_device_name() if device.type == "cuda" else device.type


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def cpu() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
