"""How a cell that is not done ended: its status, phase and error, as a result like any other."""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lwft_bench.cell.provenance import provenance
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import LONGEST_TEXT, described, text_of
from lwft_bench.schema.result import CellResult, Failure, Phase, Status
from lwft_bench.schema.run import CellRecord, plain_ablation
from lwft_bench.training.errors import Diverged

LONGEST_TRACEBACK = LONGEST_TEXT

LOG_LINES = 30
"""How much of a cell's log stands in for the traceback that it could not give."""

SERVER_DIED = 255
"""What multiprocessing gives as the exit code of a process whose server has died."""

_CPU_OUT_OF_MEMORY = "can't allocate memory"
"""Of the RuntimeError that torch raises where the CPU allocator fails."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a cell's process ended.

    exitcode: its exit status, or minus the signal that killed it; SERVER_DIED if nobody can tell.
    hung: it was killed for its silence. interrupted: it says that it stopped on request.
    out_of_memory: the kernel killed a process for memory while it ran. disk_full: what it says of a
    disk that has no room. broken_device: what it says of a device that has failed. lost: why nobody
    could see its end, on another machine.
    """

    exitcode: int
    phase: Phase
    hung_seconds: float | None = None
    interrupted: bool = False
    out_of_memory: bool = False
    disk_full: str = ""
    broken_device: str = ""
    lost: str = ""

    @property
    def killed_from_outside(self) -> bool:
        """Whether the cell has nothing to do with its end, and deserves another start."""
        killed = self.exitcode in (-signal.SIGKILL, SERVER_DIED) and not self.lost
        return killed and self.hung_seconds is None and not self.out_of_memory


def new_result(cell: Cell, record: CellRecord, status: Status, **parts: Any) -> CellResult:
    """A result of this cell, with the fields that say which cell it is filled in."""
    return CellResult(
        status=status,
        cell=cell.id,
        model=cell.model.name,
        method=cell.method.name,
        task=cell.task.name,
        seed=cell.seed,
        ablation=plain_ablation(cell.ablation),
        identity=record.digest,
        identity_components=record.components,
        **parts,
    )


def raised(
    cell: Cell, record: CellRecord, error: Exception, phase: Phase, started: datetime
) -> CellResult:
    """The result of a cell that raised `error`."""
    failure = Failure(
        phase=phase,
        error=one_line(described(error)),
        traceback=_shortened("".join(traceback.format_exception(error))),
    )
    status = status_of(error)
    return new_result(cell, record, status, failure=failure, provenance=provenance(started))


def died(cell: Cell, record: CellRecord, ended: Ended, log: Path, started: datetime) -> CellResult:
    """The result of a cell whose process ended without writing one."""
    status: Status = "crashed"
    if ended.hung_seconds is not None:
        status, error = "hung", f"no sign of life for {ended.hung_seconds:.0f} s; killed"
    elif ended.out_of_memory:
        status, error = "out_of_memory", "killed by the kernel: out of host memory"
    elif ended.broken_device:
        error = f"the device failed, the second under this cell: {ended.broken_device}"
    elif ended.lost:
        error = f"what ran it was lost each time before it came any further, last: {ended.lost}"
    elif ended.exitcode == SERVER_DIED:
        error = f"the server of the cells' processes died, or exit code {SERVER_DIED}"
    elif ended.exitcode == -signal.SIGKILL:
        error = "killed by signal 9 (out of host memory?)"
    elif ended.exitcode < 0:
        number = -ended.exitcode
        error = f"killed by signal {number} ({signal.Signals(number).name})"
    else:
        error = f"ended with exit code {ended.exitcode} and without a result"
    failure = Failure(phase=ended.phase, error=error, traceback=_tail(log))
    return new_result(cell, record, status, failure=failure, provenance=provenance(started))


def status_of(error: Exception) -> Status:
    """The status of a cell that raised this."""
    if isinstance(error, Diverged):
        return "diverged"
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (
        torch is not None and isinstance(error, torch.OutOfMemoryError)
    ):
        return "out_of_memory"
    if isinstance(error, RuntimeError) and _CPU_OUT_OF_MEMORY in text_of(error):
        return "out_of_memory"
    return "failed"


def disk_is_full(error: BaseException) -> bool:
    """Whether something could not be written for want of room, by whichever library."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left on device" in text_of(error)


def _shortened(text: str) -> str:
    """The beginning and the end of a text that nobody reads whole."""
    half = LONGEST_TRACEBACK // 2
    return text if len(text) <= LONGEST_TRACEBACK else f"{text[:half]}\n[...]\n{text[-half:]}"


def one_line(text: str) -> str:
    """The text without line breaks and control characters, cut to a readable length."""
    text = text[:LONGEST_TRACEBACK]
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    return line if len(line) <= 500 else line[:499] + "…"


def num_oom_kills() -> int | None:
    """Processes that the kernel has killed for memory since it started; None if it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    counts = [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
    return counts[0] if counts else None


def _tail(log: Path) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:  # of any size
        file.seek(max(0, log.stat().st_size - 2 * LONGEST_TRACEBACK))
        text = file.read().decode("utf-8", errors="replace")
    return _shortened("\n".join(text.splitlines()[-LOG_LINES:]))
