"""What a stage of the device check is given, and what it gives back: rows. Light to import."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Row = dict[str, Any]
"""`table`: the table it belongs to. `what`: its first column. The other keys are columns; their endings
say how they are shown (`_bytes`, `_seconds`, `_per_second`, `_share`); JSON has them as they are."""


class NotHere(Exception):
    """Something that this machine lacks: the stage or row is skipped, and this is why."""


@dataclass(frozen=True, slots=True)
class Setting:
    """deadline: of `time.monotonic`, when the stage is ended. folder: for what it wants to write.
    planners: processes that plan while the device measures; 0: this one, in between."""

    device: str
    rehearse: bool
    deadline: float
    folder: Path
    planners: int = 0

    def left(self) -> float:
        """Seconds until the stage is ended."""
        return self.deadline - time.monotonic()


def require(package: str) -> None:
    """Raises NotHere where there is no such package."""
    if find_spec(package) is None:
        raise NotHere(f"the package {package} is not installed")


def attempt(table: str, what: str, work: Callable[[], Row]) -> Row:
    """The row that `work` finds; what goes wrong in it is the row's, and the next ones go on."""
    row: Row = {"table": table, "what": what}
    try:
        return row | work()
    except NotHere as reason:
        return row | {"skipped": str(reason)}
    except Exception as error:  # whatever a library raises: memory, kernels, options
        lines = str(error).strip().splitlines() or [""]
        return row | {"failed": f"{type(error).__name__}: {lines[0]}"}


def release(device: str) -> None:
    """Gives back what is no longer used, the libraries' workspaces too: rows start alike."""
    gc.collect()
    if device == "cpu":
        return
    import torch

    if device.startswith("cuda"):
        torch._C._cuda_clearCublasWorkspaces()
    module = torch.get_device_module(torch.device(device))
    module.synchronize()
    module.empty_cache()
