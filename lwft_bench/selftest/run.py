"""The self-test as a command: runs the checks, tells of them, and keeps the outcome."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lwft_bench.cell.provenance import accelerator
from lwft_bench.cell.selftest_verdict import write_record
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.result import Check
from lwft_bench.selftest.checks import checks


def run_selftest(device: str, tell: Callable[[str], None]) -> bool:
    """Whether all checks passed. Nothing is kept of a run that is interrupted.

    Raises:
        UserError: there is no such device.
    """
    name = _device_name(device)
    tell(f"{name}, torch {torch.__version__}")
    if device in ("cpu", "simulated"):
        torch.set_num_threads(1)  # kernels on a few elements gain nothing from more
    found: list[Check] = []
    for check in checks(device):
        tell(f"{'ok    ' if check.passed else 'FAILED'}  {check.name}: {check.detail}")
        found.append(check)
    tell(f"kept in {write_record(name, torch.__version__, found)}")
    return all(check.passed for check in found)


def _device_name(device: str) -> str:
    if device in ("cpu", "simulated"):
        return device
    found = torch.accelerator.current_accelerator(check_available=True)
    if found is None or torch.device(device).type != found.type:
        there = ["cpu", "simulated", *([found.type] if found else [])]
        raise UserError(
            f"--device: expected one of {', '.join(there)}, found {device!r}",
            "torch sees no accelerator of that type: python -m torch.utils.collect_env",
        )
    return str(accelerator())
