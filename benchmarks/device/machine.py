"""The first stage: what the numbers of the others were made with."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from typing import Any

from benchmarks.device import nvml
from benchmarks.device.setting import Row, Setting

OTHERS = ("triton", "accelerate", "bitsandbytes", "galore-torch", "liger-kernel", "flash-attn")


def run(setting: Setting) -> Iterator[Row]:
    import torch

    from lwft_bench.cell.provenance import commit, num_cores, versions

    yield _row("device", _device(torch, setting.device))
    yield _row("driver", nvml.driver() or "none")
    yield _row("CUDA of torch", torch.version.cuda or "none")
    yield _row("host cores", num_cores())
    yield _row("commit", commit())
    for name, version in (versions() | {other: _version(other) for other in OTHERS}).items():
        yield _row(name, version or "not installed")


def _device(torch: Any, name: str) -> dict[str, Any]:
    """Raises where torch cannot use it: then nothing else can be checked."""
    device = torch.device(name)
    torch.ones(8, device=device).sum().item()
    if device.type != "cuda":
        return {"name": device.type}
    found = torch.cuda.get_device_properties(device)
    return {
        "name": found.name,
        "memory_bytes": found.total_memory,
        "capability": f"{found.major}.{found.minor}",
        "multiprocessors": found.multi_processor_count,
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _row(what: str, value: Any) -> Row:
    if isinstance(value, dict):
        value = ", ".join(f"{name} {one}" for name, one in value.items())
    return {"table": "machine", "what": what, "value": value}
