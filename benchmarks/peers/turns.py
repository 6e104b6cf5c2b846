"""What a trainer's process does between steps: it waits until it is told to make some more."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO


class Turns:
    """Counts the steps that the trainer makes, and times those that are asked for.

    One line on the standard input is an order: the number of steps that are to be made, a path that
    the weights are to be saved at, or nothing more, which ends the process. Each is answered by one
    line, the first one after it has been carried out.

    A turn lasts from the moment in which its order was read, at the end of the step before it, to the
    end of its last step: whatever the trainer does between two steps is in it.
    """

    def __init__(self, answers: TextIO, tokens: Callable[[int], int]) -> None:
        """tokens: of the sequences of a step, without padding."""
        self._answers = answers
        self.tokens = tokens
        self._steps = self._left = 0
        self._counted = 0
        self._base = 0
        self.save: Callable[[Path], None] = lambda path: None

    def ready_to_load(self) -> None:
        """Imports are done; from here on memory is the trainer's."""
        self._base = resident("VmRSS")
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # the peak begins anew
        self._wait()

    def step_done(self) -> None:
        """To be called at the end of every optimizer step, when all that belongs to it is done."""
        self._counted += self.tokens(self._steps)
        self._steps += 1
        self._left -= 1
        if self._left == 0:
            synchronise()
            self._answer()
            self._wait()

    def _answer(self) -> None:
        told: dict[str, Any] = {
            "seconds": time.perf_counter() - self._began,
            "processor_seconds": time.process_time() - self._worked,
            "waiting_seconds": waited() - self._waited,
            "tokens": self._counted,
            "base_bytes": self._base,
            "peak_bytes": resident("VmHWM"),
            "device_bytes": device_peak(),
            "switches": resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw,
        }
        if self._first:
            started = float(os.environ["PEERS_STARTED"])
            told |= {
                "until_first_step": time.time() - started,
                "processor_until_first_step": time.process_time(),
            }
        print(json.dumps(told), file=self._answers, flush=True)

    def _wait(self) -> None:
        while order := sys.stdin.readline().strip():
            if order.isdigit():
                self._left, self._counted = int(order), 0
                self._first = self._steps == 0
                self._began, self._worked = time.perf_counter(), time.process_time()
                self._waited = waited()
                return
            self.save(Path(order))
            print(json.dumps({"saved": order}), file=self._answers, flush=True)
        sys.stderr.flush()
        os._exit(0)  # from within whatever loop the trainer has


def resident(field: str) -> int:
    """Bytes: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return int(found) * 1024


def waited() -> float:
    """Seconds in which this process could have run and had no processor."""
    return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9


def synchronise() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def device_peak() -> int | None:
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
